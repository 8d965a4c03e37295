import t from 'tap';
import { ProtoWriter } from '../../../src/lib/protobuf.js';
import { imageTags, notReady } from '../../../src/workers/kubelet/cri.js';

interface Condition {
  readonly type: string;
  readonly status: boolean;
  readonly reason?: string;
  readonly message?: string;
}

function condition({ type, status, reason, message }: Condition): Buffer {
  const writer = new ProtoWriter();
  writer.string(1, type);
  if (status) writer.bool(2, status);
  if (reason !== undefined) writer.string(3, reason);
  if (message !== undefined) writer.string(4, message);
  // Fields that a later CRI may have.
  writer.int64(200, 7);
  writer.string(201, 'later');
  return writer.finish();
}

function response(...conditions: readonly Condition[]): Buffer {
  const status = new ProtoWriter();
  for (const one of conditions) status.bytes(1, condition(one));
  const writer = new ProtoWriter();
  writer.bytes(1, status.finish());
  // Field 2 of the real one is a map of details.
  writer.bytes(2, Buffer.from('\n\x06config\x12\x02{}'));
  return writer.finish();
}

const ready: Condition = { type: 'RuntimeReady', status: true };
const noNetwork: Condition = {
  type: 'NetworkReady',
  status: false,
  reason: 'NetworkPluginNotReady',
  message: 'cni config uninitialized',
};

void t.test('a condition that holds is ready', async (t) => {
  t.equal(notReady(response(ready, noNetwork), 'RuntimeReady'), undefined);
  t.equal(notReady(response(noNetwork, ready), 'RuntimeReady'), undefined);
});

void t.test('one that does not says why', async (t) => {
  t.equal(
    notReady(response(ready, noNetwork), 'NetworkReady'),
    'NetworkReady is false: NetworkPluginNotReady cni config uninitialized',
  );
  t.equal(
    notReady(response({ type: 'RuntimeReady', status: false }), 'RuntimeReady'),
    'RuntimeReady is false',
  );
});

void t.test('one that is missing is not ready', async (t) => {
  const missing = "the runtime's status has no RuntimeReady";
  t.equal(notReady(response(noNetwork), 'RuntimeReady'), missing);
  t.equal(notReady(response(), 'RuntimeReady'), missing);
  t.equal(notReady(Buffer.alloc(0), 'RuntimeReady'), missing);
});

void t.test('an answer that was cut off is no answer', async (t) => {
  const whole = response(ready, noNetwork);
  for (let end = 1; end < whole.length; end++) {
    try {
      notReady(whole.subarray(0, end), 'RuntimeReady');
    } catch (error) {
      t.match(error, { code: 'INVALID_ARGUMENT' });
    }
  }
  t.throws(() => notReady(whole.subarray(0, whole.length - 1), 'RuntimeReady'), { code: 'INVALID_ARGUMENT' });
  t.throws(() => notReady(Buffer.from('hello'), 'RuntimeReady'), { code: 'INVALID_ARGUMENT' });
});

void t.test('the names of images are read from a list of them', async (t) => {
  const image = (id: string, ...tags: readonly string[]) => {
    const writer = new ProtoWriter();
    writer.string(1, id);
    for (const tag of tags) writer.string(2, tag);
    writer.string(3, 'example.com/a@sha256:00');
    return writer.finish();
  };
  const list = new ProtoWriter();
  list.bytes(1, image('sha256:1', 'example.com/pause:1', 'example.com/pause:latest'));
  list.bytes(1, image('sha256:2'));
  t.same(imageTags(list.finish()), ['example.com/pause:1', 'example.com/pause:latest']);
  t.same(imageTags(Buffer.alloc(0)), []);
  t.throws(() => imageTags(Buffer.from([0x0a, 0x7f])), { code: 'INVALID_ARGUMENT' });
});
