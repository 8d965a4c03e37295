import { appendFileSync, readFileSync, statSync, truncateSync } from 'node:fs';
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

void t.test('a line that was cut off takes no other with it', async (t) => {
  const file = path.join(t.testdir(), 'audit.jsonl');
  const trail = new AuditTrail(file);
  for (let number = 0; number < 3; number++) trail.add(record(number));
  const { size } = statSync(file);
  for (const [index, cutBytes] of [1, 7, 40].entries()) {
    truncateSync(file, size - cutBytes);
    new AuditTrail(file).add(record(10 + index));
    // Without its newline a line is still whole.
    const [before] = trail.last(2);
    t.equal(before?.atMs, cutBytes === 1 ? 2 : 1, `${cutBytes} bytes less`);
    t.same(trail.last(1), [record(10 + index)]);
    truncateSync(file, size - cutBytes);
    appendFileSync(file, `${JSON.stringify(record(2))}\n`.slice(-cutBytes));
  }
});

void t.test('refusals push out no credential, and are bounded themselves', async (t) => {
  const folder = t.testdir();
  const maxBytes = 2_000;
  const trail = new AuditTrail(path.join(folder, 'audit.jsonl'), maxBytes);
  trail.add(record(0));
  const refused = { serial: '', expiresAtMs: 0, refused: 'debug.identities' };
  for (let number = 1; number <= 200; number++) trail.add({ ...record(number), ...refused });
  trail.add(record(201));
  const all = trail.last(1_000);
  t.same(all[0], record(0));
  t.same(all.at(-1), record(201));
  t.match(all.at(-2), { atMs: 200, refused: 'debug.identities' });
  t.ok(all.length < 50, `${all.length} are kept`);
  for (const name of ['refused-audit.jsonl', 'refused-audit.jsonl.1'])
    t.ok(statSync(path.join(folder, name)).size <= maxBytes + 200);
  // The clock was ahead: what came after is the last all the same.
  trail.add(record(9_000));
  trail.add(record(202));
  trail.add({ ...record(203), ...refused });
  t.same(
    trail.last(3).map(({ atMs }) => atMs),
    [9_000, 202, 203],
  );
});

void t.test('of many groups a record has some, and masters in any case', async (t) => {
  const file = path.join(t.testdir(), 'audit.jsonl');
  const trail = new AuditTrail(file);
  const groups = [...Array.from({ length: 63 }, (_, index) => `${index}`.padEnd(253, 'x')), 'system:masters'];
  trail.add({ ...record(1), groups });
  const [kept] = trail.last(1);
  t.same(kept?.groups, ['system:masters', groups[0], '… and 62 more']);
  t.ok(statSync(file).size < 1_000);
  const few = { ...record(2), groups: ['ops', 'system:masters', 'dev'] };
  trail.add(few);
  t.same(trail.last(1), [few], 'a few are kept as they are');
});

void t.test('credentials that are still good are kept, and what is dropped is remembered', async (t) => {
  const file = path.join(t.testdir(), 'audit.jsonl');
  const maxBytes = 2_000;
  const trail = new AuditTrail(file, maxBytes);
  const live = (number: number) => ({ ...record(number), expiresAtMs: 1_000_000 - number });
  t.equal(trail.heldUntilMs(), 0);
  for (let number = 0; number < 100; number++) trail.add(live(number));
  t.equal(trail.last(1_000).length, 100, 'more than the files hold as a rule');
  for (let number = 100; number < 1_000; number++) trail.add(live(number));
  t.ok(trail.last(1_000).length < 1_000, 'but not without a bound');
  t.ok(statSync(file).size + statSync(`${file}.1`).size <= 2 * 8 * maxBytes + 500);
  for (const of of [trail, new AuditTrail(file, maxBytes)])
    t.equal(of.heldUntilMs(), 1_000_000, 'also of those that are gone');
  const later = { ...record(2_000_000), expiresAtMs: 2_000_001 };
  new AuditTrail(file, maxBytes).add(later);
  t.equal(new AuditTrail(file, maxBytes).heldUntilMs(), 2_000_001);
  t.match(readFileSync(file, 'utf8'), /^\{"heldUntilMs":1000000\}\n/);
});

void t.test('what cannot be recorded is an error', async (t) => {
  const trail = new AuditTrail(path.join(t.testdir(), 'nosuch', 'audit.jsonl'));
  t.throws(() => trail.add(record(1)), { code: 'INTERNAL', message: /cannot be written/ });
});
