import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { watchMachine } from '../../../src/host/machine-watch.js';
import type { Log, LogMethod } from '../../../src/lib/log.js';
import { waitFor } from './children-fixture.js';

const skip = process.geteuid?.() === 0 ? false : 'a mount needs root';

void t.test('a full disk and a clock that is set are told, and that they are over', { skip }, async (t) => {
  const state = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=80m', 'tmpfs', state]);
  t.teardown(() => {
    execFileSync('umount', [state]);
    rmdirSync(state);
  });
  const over = new AbortController();
  const said: string[] = [];
  const say =
    (level: string): LogMethod =>
    (_fields: object | string, message?: string) =>
      void said.push(`${level}: ${message ?? ''}`);
  const log: Log = {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    fatal: say('fatal'),
  };
  const board = new ConditionBoard(['DataAvailable'], 0);
  let aheadMs = 0;
  const watch = watchMachine({
    state,
    board,
    log,
    signal: over.signal,
    everyMs: 5,
    wallMs: () => Date.now() + aheadMs,
  });
  const status = (wanted: string) =>
    waitFor(`DataAvailable ${wanted}`, () => board.get('DataAvailable').status === wanted || undefined);
  const hears = (pattern: RegExp) =>
    waitFor(
      `${String(pattern)} in ${said.join('; ')}`,
      () => said.some((line) => pattern.test(line)) || undefined,
    );

  await status('true');
  const ballast = path.join(state, 'ballast');
  writeFileSync(ballast, Buffer.alloc(40 << 20));
  await status('false');
  t.match(board.get('DataAvailable'), {
    reason: 'DiskFull',
    message: /^no space: \d\d MB is left of the disk of /,
  });
  await hears(/^error: no space: /);
  rmSync(ballast);
  await status('true');
  await hears(/^info: the state lies in /);

  aheadMs = 3_600_000;
  await hears(/^warn: the clock was set forward by 60 min 0 s$/);
  aheadMs = 0;
  await hears(/^warn: the clock was set back by 60 min 0 s$/);
  t.equal(said.filter((line) => line.startsWith('warn')).length, 2, 'each step is told once');
  over.abort();
  await watch;
});

void t.test('a state folder that is gone is told of', async (t) => {
  const state = path.join(t.testdir(), 'missing');
  const over = new AbortController();
  const board = new ConditionBoard(['DataAvailable'], 0);
  const quiet = () => undefined;
  const log: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, fatal: quiet };
  const watch = watchMachine({ state, board, log, signal: over.signal, everyMs: 5 });
  await waitFor('DataAvailable', () => board.get('DataAvailable').status === 'false' || undefined);
  t.match(board.get('DataAvailable'), {
    reason: 'NotWritable',
    message: /missing cannot be written: ENOENT/,
  });
  over.abort();
  await watch;
});
