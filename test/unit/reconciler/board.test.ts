import { pino } from 'pino';
import t from 'tap';
import { ConditionBoard } from '../../../src/host/conditions.js';
import type { ConditionUpdate } from '../../../src/ipc/services/host.js';
import { BoardView } from '../../../src/workers/reconciler/board.js';
import { ConditionPublisher } from '../../../src/workers/reconciler/publisher.js';

const names = ['PKIReady', 'APIServerReady'];
const update = (name: string, status: ConditionUpdate['status'], message = ''): ConditionUpdate => ({
  name,
  status,
  reason: '',
  message,
});

const isNotTrue = ({ status }: { readonly status: string }): boolean => status !== 'true';

void t.test('BoardView waits for what the board says', async (t) => {
  const board = new ConditionBoard(names, 0);
  const ending = new AbortController();
  const view = new BoardView();
  const following = view.follow(board.watch(ending.signal));
  const { signal } = ending;

  await view.until('APIServerReady', isNotTrue, signal);
  const isTrue = view.untilTrue('APIServerReady', signal);
  board.set(update('PKIReady', 'true'), 1);
  await view.untilTrue('PKIReady', signal);
  board.set(update('APIServerReady', 'true'), 2);
  await isTrue;
  await view.untilTrue('APIServerReady', signal);

  const isNot = view.until('APIServerReady', isNotTrue, signal);
  board.set(update('APIServerReady', 'unknown'), 3);
  await isNot;

  const given = new AbortController();
  const never = view.untilTrue('APIServerReady', given.signal);
  given.abort(new Error('given up'));
  await t.rejects(never, { message: 'given up' });
  await t.rejects(view.untilTrue('APIServerReady', given.signal), { message: 'given up' });
  ending.abort();
  await following;
});

const silent = pino({ level: 'silent' });

void t.test('ConditionPublisher tells the latest of each, one call at a time', async (t) => {
  const calls: (readonly ConditionUpdate[])[] = [];
  const releases: (() => void)[] = [];
  const host = {
    setConditions({ conditions }: { conditions: ConditionUpdate[] }) {
      calls.push(conditions);
      return new Promise<Record<string, never>>((resolve) => releases.push(() => resolve({})));
    },
  };
  const publisher = new ConditionPublisher(host, silent, new AbortController().signal);
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  publisher.set([update('A', 'false', 'first'), update('B', 'true')]);
  publisher.set([update('A', 'true', 'second')]);
  await turn();
  t.same(
    calls,
    [[update('A', 'true', 'second'), update('B', 'true')]],
    'what is said in one turn goes as one',
  );

  publisher.set([update('A', 'false', 'third')]);
  publisher.set([update('A', 'true', 'fourth')]);
  await turn();
  t.equal(calls.length, 1, 'the next call waits for the first');
  releases.shift()?.();
  await turn();
  t.same(calls[1], [update('A', 'true', 'fourth')]);
  releases.shift()?.();
  await turn();
  t.equal(calls.length, 2);
});

void t.test(
  'ConditionPublisher loses nothing when the board cannot be told, and keeps what is newer',
  async (t) => {
    const told = new Map<string, string>();
    let failures = 1;
    let failed: (() => void) | undefined;
    const hasFailed = new Promise<void>((resolve) => (failed = resolve));
    let done: (() => void) | undefined;
    const isDone = new Promise<void>((resolve) => (done = resolve));
    const host = {
      async setConditions({ conditions }: { conditions: ConditionUpdate[] }) {
        if (failures > 0) {
          failures -= 1;
          failed?.();
          throw new Error('away');
        }
        for (const { name, message } of conditions) told.set(name, message);
        done?.();
        return {};
      },
    };
    const publisher = new ConditionPublisher(host, silent, new AbortController().signal);
    publisher.set([update('A', 'true', 'old'), update('B', 'true', 'kept')]);
    await hasFailed;
    publisher.set([update('A', 'true', 'new')]);
    await isDone;
    t.same(Object.fromEntries(told), { A: 'new', B: 'kept' });
  },
);
