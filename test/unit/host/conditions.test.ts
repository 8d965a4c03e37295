import t from 'tap';
import { ConditionBoard, type ConditionNews } from '../../../src/host/conditions.js';
import { waitFor } from './children-fixture.js';

const etcd = { name: 'etcd', status: 'true', reason: '', message: 'healthy' } as const;

void t.test('what nobody has spoken of is unknown, and what does not exist is refused by name', async (t) => {
  const board = new ConditionBoard(['etcd', 'NodeReady'], 1_000);
  t.match(board.get('etcd'), { status: 'unknown', reason: 'NotReported', sinceMs: 1_000 });
  t.same(
    board.all.map(({ name }) => name),
    ['etcd', 'NodeReady'],
  );
  const wrong = { code: 'NOT_FOUND', message: 'there is no condition etc; there are etcd, NodeReady' };
  t.throws(() => board.get('etc'), wrong);
  t.throws(() => board.set({ ...etcd, name: 'etc' }, 0), wrong);
});

void t.test('a condition says since when it has its status, whatever its message does', async (t) => {
  const board = new ConditionBoard(['etcd'], 1_000);
  board.set(etcd, 2_000);
  t.match(board.get('etcd'), { ...etcd, sinceMs: 2_000 });
  board.set({ ...etcd, message: 'healthy, but its probe fails' }, 3_000);
  t.match(board.get('etcd'), { message: 'healthy, but its probe fails', sinceMs: 2_000 });
  board.set({ ...etcd, status: 'false', reason: 'Killed', message: 'killed' }, 4_000);
  t.match(board.get('etcd'), { status: 'false', reason: 'Killed', sinceMs: 4_000 });
});

void t.test('who watches gets the board, then every change, and nothing that is none', async (t) => {
  const board = new ConditionBoard(['etcd', 'NodeReady'], 1_000);
  const stop = new AbortController();
  const seen: ConditionNews[] = [];
  const done = (async () => {
    for await (const news of board.watch(stop.signal)) seen.push(news);
  })();
  await waitFor('the snapshot', () => seen.length === 1 || undefined);
  board.set(etcd, 2_000);
  board.set(etcd, 3_000);
  board.set({ ...etcd, message: 'other' }, 4_000);
  await waitFor('the changes', () => seen.length === 3 || undefined);
  stop.abort();
  await done;
  t.match(seen, [
    { snapshot: true, conditions: [{ name: 'etcd', status: 'unknown' }, { name: 'NodeReady' }] },
    { snapshot: false, conditions: [{ ...etcd, sinceMs: 2_000 }] },
    { snapshot: false, conditions: [{ message: 'other', sinceMs: 2_000 }] },
  ]);
  board.set({ ...etcd, status: 'false' }, 5_000);
  t.equal(seen.length, 3);
});

void t.test('a change between the snapshot and the wait for more is not lost', async (t) => {
  const board = new ConditionBoard(['etcd'], 1_000);
  const watch = board.watch(new AbortController().signal);
  await watch.next();
  board.set(etcd, 2_000);
  t.match(await watch.next(), { value: { conditions: [etcd] } });
  t.same(await watch.return(), { done: true, value: undefined });
});

void t.test(
  'who waits for a condition is told when it becomes true, or that nobody waits any more',
  async (t) => {
    const board = new ConditionBoard(['etcd', 'other'], 0);
    const stop = new AbortController();
    const waiting = board.becomesTrue('etcd', stop.signal);
    const givenUp = board.becomesTrue('other', stop.signal);
    board.set({ name: 'etcd', status: 'false', reason: 'Starting', message: '' }, 1);
    board.set({ name: 'etcd', status: 'true', reason: '', message: 'healthy' }, 2);
    t.equal(await waiting, true);
    t.equal(await board.becomesTrue('etcd', stop.signal), true, 'at once when it is');
    stop.abort();
    t.equal(await givenUp, false);
    await t.rejects(board.becomesTrue('none', stop.signal), { code: 'NOT_FOUND' });
  },
);
