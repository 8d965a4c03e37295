import t from 'tap';
import type { FollowRequest, LogRecord } from '../../../src/ipc/services/logs.js';
import { sequencesPerStart } from '../../../src/lib/ring/memory.js';
import { Follower } from '../../../src/workers/logs/follower.js';
import { everything, textOf } from '../../mesh/fixtures/follow.js';
import { Source } from './source.js';

/** A follower of logs that are in memory alone. */
function follow(sources: Readonly<Record<string, Source>>, request: Partial<FollowRequest> = {}): Follower {
  const rings = new Map(Object.entries(sources).map(([name, { ring }]) => [name, ring]));
  const ring = (name: string) => {
    const found = rings.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  const store = { rings, ring, archive: undefined, latestRun: () => 1 };
  return new Follower(store, { ...everything, components: [...rings.keys()], follow: true, ...request });
}

function readAll(follower: Follower): LogRecord[] {
  const all: LogRecord[] = [];
  for (;;) {
    const { records, hasMore } = follower.read();
    all.push(...records);
    if (!hasMore) return all;
  }
}

void t.test('lines that have used up the numbers of their start', (t) => {
  let us = 0;
  const clock = { wallMs: () => 1_000, monotonicUs: () => us };
  // The last five numbers of the start, and then those of the next.
  const loud = new Source(2 - 5 / sequencesPerStart, clock);
  const quiet = new Source(1, clock);
  const follower = follow({ loud, quiet });
  for (us = 1; us <= 20; us += 1) (us % 5 === 0 ? quiet : loud).write(`${us}\n`);
  const records = readAll(follower);
  t.same(
    records.map(textOf),
    Array.from({ length: 20 }, (_, i) => String(i + 1)),
    'in the order of arrival',
  );
  t.ok((records.at(-2) as { sequence: number }).sequence >= 2 * sequencesPerStart);
  const late = follow({ loud }, { positions: [{ component: 'loud', next: loud.ring.origin }] });
  for (let i = 0; i < 100; i += 1) loud.write('x\n'.repeat(100));
  const { origin, first } = loud.ring;
  t.match(late.read().records[0], { kind: 'gap', from: origin, to: first, lines: first - origin });
  t.end();
});

void t.test('when the time is over, no gap and no loud log keeps a follower', (t) => {
  let wallMs = 1_000;
  const source = new Source(1, { wallMs: () => wallMs, monotonicUs: () => wallMs * 1_000 });
  const untilMs = 2_000;
  const flood = () => {
    for (let i = 0; i < 100; i += 1) source.write('x\n'.repeat(100));
  };
  const follower = follow({ loud: source }, { untilMs });
  source.write('wanted\n');
  flood();
  t.match(follower.read().records[0], { kind: 'gap' }, 'of lines that may have been wanted');
  while (follower.read().records.length > 0);
  wallMs = 3_000;
  source.write('too late\n');
  t.same(readAll(follower), []);
  flood();
  t.same(readAll(follower), [], 'no gap of lines that are too late');

  const slow = follow({ loud: source }, { untilMs });
  flood();
  t.notOk(slow.isOver(2_000));
  t.notOk(slow.isOver(2_001), 'there is something to look at');
  for (let i = 0; i < 3; i += 1) {
    flood();
    slow.read();
  }
  t.ok(slow.isOver(2_002), 'and no more comes');
  t.end();
});
