import fc from 'fast-check';
import t from 'tap';
import { concerns, isWithin, select } from '../../../src/workers/logs/selection.js';
import { structureOf } from '../../../src/workers/logs/structure.js';

const at = (text: string): number => new Date(text).getTime();
const arrival = at('2026-11-23T14:00:00.500Z');
const plain = { severity: null, writtenAtMs: null, place: '', subject: '' };

void t.test('the formats of the components', (t) => {
  const local = new Date(2026, 10, 23, 13, 59, 58).getTime() + 123;
  const cases: readonly [string, object][] = [
    [
      'W1123 13:59:58.123456   12345 reflector.go:178] watch ended',
      { severity: 'warn', writtenAtMs: local, place: 'reflector.go:178' },
    ],
    ['F1123 13:59:58.123456 1 a_b.go:1]', { severity: 'fatal', writtenAtMs: local, place: 'a_b.go:1' }],
    [
      '{"level":"info","ts":"2026-11-23T13:59:58.123Z","caller":"etcdmain/etcd.go:134","msg":"x"}',
      { severity: 'info', writtenAtMs: at('2026-11-23T13:59:58.123Z'), place: 'etcdmain/etcd.go:134' },
    ],
    ['{"level":"dpanic","ts":1795528798.25}', { severity: 'error', writtenAtMs: 1_795_528_798_250 }],
    [
      '{"level":"warn","ts":"2026-11-23T13:59:58.123+0100"}',
      { severity: 'warn', writtenAtMs: at('2026-11-23T12:59:58.123Z') },
    ],
    [
      'time="2026-11-23T13:59:58.123456789Z" level=warning msg="no \\"x\\""',
      { severity: 'warn', writtenAtMs: at('2026-11-23T13:59:58.123Z') },
    ],
    [
      '{"level":30,"time":1795528798250,"name":"hamlet","msg":"x"}',
      { severity: 'info', writtenAtMs: 1_795_528_798_250, subject: '' },
    ],
    [
      '{"level":40,"time":1,"name":"hamlet.kubelet","component":"etcd","cause":"exit code 1"}',
      { severity: 'warn', subject: 'etcd' },
    ],
    [
      '{"level":50,"time":1,"name":"hamlet","worker":"certs","cause":{}}',
      { severity: 'error', subject: 'hamlet.certs' },
    ],
    ['{"level":30,"time":1,"name":"hamlet.reconciler","object":"Pod x"}', { subject: 'Pod x' }],
    // klog's own word for a place that it could not find out.
    ['W1123 13:59:58.123456 1 ???:1] x', { severity: 'warn', writtenAtMs: local, place: '' }],
    // A place that would steer a terminal, or forge a line, is none.
    ['E1123 13:59:58.123456 1 \x1b[2J\x9b1m.go:1] x', { severity: 'error', place: '' }],
    ['{"level":"info","caller":"a.go:1\\nE1123 forged"}', { severity: 'info', place: '' }],
    ['{"level":30,"time":1,"caller":"\\u001b]0;a.go:1"}', { severity: 'info', place: '' }],
    ['{"level":"info","caller":"v3@v3.4.3+x/a-b_c.go:1"}', { place: 'v3@v3.4.3+x/a-b_c.go:1' }],
    ['panic: runtime error: index out of range', { severity: 'fatal' }],
    ['fatal error: all goroutines are asleep', { severity: 'fatal' }],
  ];
  for (const [line, expected] of cases) t.match(structureOf(line, arrival), expected, line);
  for (const line of [
    '',
    'plain',
    '{"level":',
    '{}',
    '{"level":null}',
    '{"level":"odd","ts":1e300}',
    '{"level":"odd","ts":1e999}',
    '{"level":"odd","ts":-5}',
    'I1123 x',
    'E1399 13:59:58.123456 1 a.go:1',
    'time="x" msg=',
    'goroutine 1 [running]:',
  ]) {
    t.same(structureOf(line, arrival), plain, line);
  }
  t.end();
});

void t.test("klog's year is the one that is closest to the arrival", (t) => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date(2000, 0, 2), max: new Date(2100, 0, 1), noInvalidDate: true }),
      fc.integer({ min: -40 * 86_400, max: 40 * 86_400 }),
      (written, laterS) => {
        const two = (value: number) => String(value).padStart(2, '0');
        const day = two(written.getMonth() + 1) + two(written.getDate());
        const time = [written.getHours(), written.getMinutes(), written.getSeconds()].map(two).join(':');
        const line = `I${day} ${time}.${String(written.getMilliseconds()).padStart(3, '0')}000 1 a.go:1] x`;
        const read = structureOf(line, written.getTime() + laterS * 1_000).writtenAtMs ?? NaN;
        // An hour more or less where the clocks are put back and the same time comes twice.
        if (Math.abs(read - written.getTime()) > 3_600_000) throw new Error(`${read} for ${line}`);
      },
    ),
  );
  t.end();
});

void t.test('any line at all can be looked at', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.json().map((json) => `{"level":${json},"ts":${json}}`),
      ),
      (line) => {
        const { writtenAtMs } = structureOf(line, arrival);
        if (writtenAtMs !== null) new Date(writtenAtMs).toISOString();
      },
    ),
  );
  t.end();
});

void t.test('names are compared piece by piece', (t) => {
  const piece = fc.constantFrom('kube', 'kubelet', 'k', 'hamlet');
  const name = fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.join('.'));
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 6 }), name, (names, asked) => {
      const below = names.filter((each) => {
        const pieces = each.split('.');
        return asked.split('.').every((part, i) => pieces[i] === part);
      });
      for (const each of names) if (isWithin(each, asked) !== below.includes(each)) throw new Error(each);
      const expected = names.includes(asked) ? [asked] : below;
      if (expected.length === 0) return;
      if ([...select([asked], names)].join() !== expected.join()) throw new Error(asked);
      if (names.some((each) => concerns([asked], each, names) !== expected.includes(each)))
        throw new Error(asked);
    }),
  );
  t.throws(() => select(['x'], ['kube.proxy']), { code: 'NOT_FOUND', details: { names: ['kube.proxy'] } });
  t.end();
});

void t.test('an object of the cluster is the business of the API server', (t) => {
  const names = ['etcd', 'kube.apiserver', 'kube.proxy', 'hamlet', 'hamlet.reconciler'];
  const object = 'ClusterRole hamlet:node-reader';
  for (const asked of ['kube', 'kube.*', 'kube.apiserver']) t.ok(concerns([asked], object, names), asked);
  for (const asked of ['etcd', 'kube.proxy', 'hamlet']) t.notOk(concerns([asked], object, names), asked);
  t.ok(concerns(names, object, names), 'all logs');
  t.end();
});
