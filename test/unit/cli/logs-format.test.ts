import t from 'tap';
import { formatRecord, formats, type FormatOptions } from '../../../src/cli/logs-format.js';
import type { LogRecord } from '../../../src/gen/hamlet/debug/v1/debug.js';

const record: LogRecord = {
  component: 'etcd',
  sequence: 7,
  atMs: Date.UTC(2026, 10, 23, 14),
  monotonicUs: 2 ** 40 + 5,
  run: 2,
  source: 'stderr',
  data: Buffer.from('fine'),
  trueBytes: 4,
  severity: 'error',
  writtenAtMs: 0,
  place: 'a/b.go:3',
  subject: '',
  gap: undefined,
};
const options: FormatOptions = { format: 'short', named: true, terminal: false, coloured: false };

function shown(change: Partial<LogRecord>, how: Partial<FormatOptions>): string {
  return Buffer.from(formatRecord({ ...record, ...change }, { ...options, ...how })).toString();
}

void t.test('the formats', (t) => {
  const head = '2026-11-23T14:00:00.000Z etcd 7 run 2 stderr error a/b.go:3 |';
  t.equal(shown({}, { named: false }), 'fine\n');
  t.equal(shown({}, {}), 'etcd fine\n');
  t.equal(shown({}, { format: 'full' }), `${head} fine\n`);
  const coloured = { format: 'full', terminal: true, coloured: true } as const;
  t.same(JSON.parse(shown({}, { format: 'json' })), {
    kind: 'line',
    component: 'etcd',
    sequence: 7,
    at: '2026-11-23T14:00:00.000Z',
    monotonicUs: 2 ** 40 + 5,
    run: 2,
    source: 'stderr',
    severity: 'error',
    place: 'a/b.go:3',
    line: 'fine',
  });
  t.equal(shown({}, coloured), `\x1b[31m${head} fine\x1b[0m\n`);
  t.end();
});

// Whatever a node says: a newer or an older one, or something that only passes for one.
void t.test('no field steers a terminal or forges a line, in any format', (t) => {
  const evil = 'a\nforged 1 \x1b[2J\x9b1m\x7f\t:1';
  const fields = [
    { place: evil },
    { component: evil },
    { source: evil },
    { severity: evil },
    { subject: evil },
    { component: evil, gap: { next: 9, lines: 2 } },
  ];
  for (const change of fields) {
    for (const format of formats) {
      const what = `${format}: ${Object.keys(change).join()}`;
      const onTerminal = shown(change, { format, terminal: true });
      // eslint-disable-next-line no-control-regex -- finding them is the purpose
      t.notMatch(onTerminal, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/, what);
      for (const text of [onTerminal, shown(change, { format })]) {
        t.equal(text.indexOf('\n'), text.length - 1, `one line: ${what}`);
      }
    }
  }
  t.end();
});

void t.test('in JSON a line is what it is, and shows no control character', (t) => {
  const line = 'a\x1b[2J\x9b1m\x7f\x80';
  for (const terminal of [false, true]) {
    const text = shown({ data: Buffer.from(line), place: line }, { format: 'json', terminal });
    // eslint-disable-next-line no-control-regex -- finding them is the purpose
    t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    t.match(JSON.parse(text), { line, place: line });
  }
  t.end();
});
