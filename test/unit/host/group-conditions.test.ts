import path from 'node:path';
import t, { type Test } from 'tap';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { conditionOf, GroupConditions } from '../../../src/host/group-conditions.js';
import { History } from '../../../src/host/history.js';
import type { RestartFields } from '../../../src/ipc/services/restart.js';
import { allConditionNames, groupNames } from '../../../src/lib/names.js';
import type { Log } from '../../../src/lib/log.js';
import { crashLoopFailures, Groups } from '../../../src/supervision/groups.js';
import { waitFor } from './children-fixture.js';

const members = ['etcd', 'kube.apiserver', 'kube.scheduler', 'hamlet.logs'];

function restart(overrides: Partial<RestartFields> = {}): RestartFields {
  return {
    name: 'kube.scheduler',
    run: 1,
    pid: 1,
    atMs: Date.UTC(2024, 0, 1, 12, 3, 4),
    kind: 'exited',
    code: 1,
    signal: null,
    message: 'exited with code 1\n    at some line of a stack',
    waitedFor: [],
    nextTryMs: Date.now() + 30_000,
    executedMs: null,
    healthyMs: null,
    lastLines: [],
    causeId: null,
    ...overrides,
  };
}

function start(t: Test) {
  const told: (string | undefined)[] = [];
  const error = (_fields: object, message?: string) => told.push(message);
  const board = new ConditionBoard(allConditionNames, Date.now());
  const history = new History(path.join(t.testdir(), 'restarts.jsonl'));
  const stop = new AbortController();
  t.teardown(async () => {
    stop.abort();
    await history.written();
  });
  const log = { error, info: error } as unknown as Log;
  new GroupConditions({ board, history, members, log, signal: stop.signal });
  const set = (name: string, reason = '', message = reason) =>
    board.set({ name, status: reason === '' ? 'true' : 'false', reason, message }, Date.now());
  const until = (name: string, status: string, reason = '') =>
    waitFor(`${name} ${status} ${reason}`, () => {
      const condition = board.get(name);
      return condition.status === status && condition.reason === reason ? condition : undefined;
    });
  return { board, history, set, until, told };
}

void t.test('the groups are those that the names make', async (t) => {
  t.same(new Groups(members, 'node', 0).names.toSorted(), [...groupNames].sort());
});

void t.test('groups follow their members on the board', async (t) => {
  const { board, set, until } = start(t);
  t.equal(board.get('kube').reason, 'NotReported');
  set('kube.apiserver', 'Starting', 'starting');
  t.match(await until('kube', 'false', 'MemberNotUp'), {
    message: 'kube.apiserver: starting | kube.scheduler: nothing is known of it yet',
  });
  set('kube.scheduler', 'Exited', 'exited with code 1; next try in 0.5 s');
  t.match(await until('kube', 'false', 'MemberFailed'), {
    message: 'kube.scheduler: exited with code 1; next try in 0.5 s | kube.apiserver: starting',
  });
  t.equal(board.get('hamlet').reason, 'NotReported');
  for (const name of members) set(name);
  for (const name of groupNames) await until(name, 'true');
});

void t.test('a crash loop is told by every group above, and in the log, once', async (t) => {
  const { board, history, set, until, told } = start(t);
  for (const name of members) set(name);
  await until('node', 'true');
  set('kube.scheduler', 'Exited', 'exited with code 1');
  for (let i = 1; i < crashLoopFailures; i++) history.put(null, restart());
  for (const kind of ['outdated', 'shortage'] as const) {
    for (let i = 1; i <= crashLoopFailures; i++) history.put(null, restart({ name: 'etcd', kind }));
  }
  await until('kube', 'false', 'MemberFailed');
  const id = history.put(null, restart());
  history.put(id, restart({ nextTryMs: Date.now() + 20_000 }));
  for (const name of ['kube', 'node']) {
    const { message } = await until(name, 'false', 'CrashLoop');
    const next = String.raw`next try at \d\d:\d\d:\d\d UTC`;
    t.match(
      message,
      new RegExp(
        `^kube\\.scheduler has failed 5 times since 12:03:04 UTC, last: exited with code 1; ${next}$`,
      ),
    );
  }
  t.equal(board.get('hamlet').status, 'true');
  set('kube.scheduler');
  await waitFor('the change', () => board.get('kube').message.includes('; it is up, and') || undefined);
  t.match(board.get('kube'), { status: 'false', reason: 'CrashLoop' });
  t.equal(told.length, 1);
});

void t.test('a next try that is over is told as such', async (t) => {
  const last = { name: 'etcd', id: 1, message: 'killed by SIGKILL', atMs: 0, nextTryMs: 5_000 };
  const loop = { name: 'etcd', failures: 7, sinceMs: 0, last, isUp: false };
  t.match(conditionOf('node', { loops: [loop], missing: [] }, 6_000), {
    message:
      'etcd has failed 7 times since 00:00:00 UTC, last: killed by SIGKILL; tried again since 00:00:05 UTC',
  });
});
