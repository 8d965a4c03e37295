import { appendFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { AuditTrail } from '../../../src/workers/certs/audit.js';

const record = (number: number) => ({
  atMs: number,
  caller: { transport: 'tcp', uid: 0, pid: null } as const,
  id: `user-${number}`,
  groups: [],
  serial: 'ab',
  expiresAtMs: number + 1,
});

void t.test('records are kept in order, in a bounded space', async (t) => {
  const file = path.join(t.testdir(), 'audit.jsonl');
  const maxBytes = 2_000;
  const trail = new AuditTrail(file, maxBytes);
  t.same(trail.last(10), []);
  for (let number = 0; number < 200; number++) trail.add(record(number));
  t.same(trail.last(3), [record(197), record(198), record(199)]);
  t.same(new AuditTrail(file, maxBytes).last(1), [record(199)], 'by the next worker too');
  const kept = trail.last(1_000);
  t.ok(kept.length >= 10 && kept.length < 200, `${kept.length} are kept`);
  t.equal(kept.at(0)?.atMs, 200 - kept.length, 'without a gap');
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.ok(statSync(`${file}.1`).size <= maxBytes + 200);
  appendFileSync(file, '{"atMs":5,"call');
  t.same(trail.last(1), [record(199)], 'half a line is none');
});

void t.test('what cannot be recorded is an error', async (t) => {
  const trail = new AuditTrail(path.join(t.testdir(), 'nosuch', 'audit.jsonl'));
  t.throws(() => trail.add(record(1)), { code: 'INTERNAL', message: /cannot be written/ });
});
