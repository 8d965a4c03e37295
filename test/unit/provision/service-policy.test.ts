import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../../src/lib/time.js';
import { runWithoutServices } from '../../../src/provision/service-policy.js';

const { signal } = new AbortController();
const policyModule = new URL('../../../src/provision/service-policy.js', import.meta.url).href;

void t.test('the policy denies every start while the command runs, and is gone after it', async (t) => {
  const folder = t.testdir();
  const policyFile = path.join(folder, 'policy-rc.d');
  const log = path.join(folder, 'log');
  const ask = `set +e; ${policyFile} etcd start; echo "answer $?"`;
  await runWithoutServices(['sh', '-c', ask], { log, signal, policyFile });
  t.equal(readFileSync(log, 'utf8'), 'answer 101\n');
  t.same(readdirSync(folder), ['log']);
  await t.rejects(runWithoutServices(['sh', '-c', 'exit 7'], { log, signal, policyFile }), {
    message: /exit code 7/,
  });
  t.same(readdirSync(folder), ['log'], 'also after a failure');
});

void t.test("the machine's own policy is left alone", async (t) => {
  const folder = t.testdir({ 'policy-rc.d': '#!/bin/sh\nexit 104\n' });
  const policyFile = path.join(folder, 'policy-rc.d');
  await runWithoutServices(['true'], { log: path.join(folder, 'log'), signal, policyFile });
  t.equal(readFileSync(policyFile, 'utf8'), '#!/bin/sh\nexit 104\n');
});

void t.test('the policy goes away even when the set-up is killed, and the command finishes', async (t) => {
  const folder = t.testdir();
  const policyFile = path.join(folder, 'policy-rc.d');
  const go = path.join(folder, 'go');
  const log = path.join(folder, 'log');
  const script = `while [ ! -e ${go} ]; do sleep 0.02; done; echo finished`;
  const code = `
    import { runWithoutServices } from ${JSON.stringify(policyModule)};
    const { signal } = new AbortController();
    await runWithoutServices(['sh', '-c', ${JSON.stringify(script)}], ${JSON.stringify({ log, policyFile })
      .slice(0, -1)
      .concat(', signal }')});
  `;
  const run = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'inherit' });
  const options = { everyMs: 5, timeoutMs: 10_000 };
  await poll(() => existsSync(policyFile) || undefined, { ...options, what: 'the policy' });
  run.kill('SIGKILL');
  await once(run, 'exit');
  t.ok(existsSync(policyFile), 'it still holds');
  writeFileSync(go, '');
  await poll(() => !existsSync(policyFile) || undefined, { ...options, what: 'the end of the policy' });
  t.equal(readFileSync(log, 'utf8'), 'finished\n');
});

void t.test('one that a power cut left behind is ours to take away', async (t) => {
  const folder = t.testdir();
  const policyFile = path.join(folder, 'policy-rc.d');
  const options = { log: path.join(folder, 'log'), signal, policyFile };
  const copy = path.join(folder, 'copy');
  await runWithoutServices(['cp', policyFile, copy], options);
  writeFileSync(policyFile, readFileSync(copy), { mode: 0o755 });
  await runWithoutServices(['test', '-x', policyFile], options);
  t.notOk(existsSync(policyFile));
});
