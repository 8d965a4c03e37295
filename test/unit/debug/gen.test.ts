import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import * as gen from '../../../src/gen/hamlet/debug/v1/debug.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

void t.test('src/gen/ is what proto/ says', async (t) => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['scripts/gen.mjs', '--check'], {
    cwd: root,
  });
  t.equal(stdout + stderr, '');
});

void t.test('every method of the service has its path and a codec for each direction', async (t) => {
  for (const [name, method] of Object.entries(gen.nodeDebugService)) {
    t.equal(method.path, `/hamlet.debug.v1.NodeDebugService/${name.charAt(0).toUpperCase()}${name.slice(1)}`);
    t.strictSame(
      method.requestDeserialize(Buffer.alloc(0)),
      method.requestDeserialize(
        (method.requestSerialize as (message: unknown) => Buffer)(method.requestDeserialize(Buffer.alloc(0))),
      ),
    );
  }
});

void t.test('a message inside a message, and a list of them', async (t) => {
  const condition = {
    name: 'NodeReady',
    status: 'false',
    reason: 'KubeletNotReady',
    message: 'the kubelet has not posted its status yet',
    sinceMs: 1_700_000_000_123,
  };
  const one = gen.decodeGetConditionResponse(gen.encodeGetConditionResponse({ ok: false, condition }));
  t.strictSame(one, { ok: false, condition });
  const conditions = [condition, { ...condition, name: 'PKIReady', status: 'true', reason: '' }];
  const list = gen.decodeListConditionsResponse(gen.encodeListConditionsResponse({ conditions }));
  t.strictSame(list, { conditions });
});
