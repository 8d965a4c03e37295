import { spawn } from 'node:child_process';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { readUpgrade, writeUpgrade } from '../../../src/host/upgrade-file.js';
import { isAlive, startTicksOf } from '../../../src/platform/process.js';
import { waitFor } from './children-fixture.js';

const main = fileURLToPath(new URL('./fixtures/upgradable.js', import.meta.url));

/** A process that says which version runs, and with which pid. */
function start(t: Test, env: NodeJS.ProcessEnv = {}) {
  const file = path.join(t.testdir(), 'upgrade.json');
  const child = spawn(process.execPath, [main, file, 'word'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk));
  /** The pids of those that ran, in their order, when there are so many. */
  const runs = (count: number) =>
    waitFor(`run ${count}: ${errors}`, () => {
      const lines = [...output.matchAll(/^(\d+) runs (\S+) word$/gm)];
      return lines.length >= count
        ? lines.map(([, pid, program]) => ({ pid: Number(pid), program }))
        : undefined;
    });
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, file, runs, exit, output: () => output, errors: () => errors };
}

void t.test('SIGHUP starts the version that is there now, and the first process waits for it', async (t) => {
  const { child, runs, exit } = start(t);
  await runs(1);
  child.kill('SIGHUP');
  const [first, second] = await runs(2);
  t.equal(first?.pid, child.pid);
  t.not(second?.pid, child.pid);

  process.kill(second?.pid ?? 0, 'SIGHUP');
  const [, , third] = await runs(3);
  child.kill('SIGHUP');
  const [, , , fourth] = await runs(4);
  t.not(third?.pid, fourth?.pid, 'whichever of the two is told');
  await waitFor('the end of the third', () => startTicksOf(third?.pid ?? 0) === undefined || undefined);

  child.kill('SIGTERM');
  t.equal(await exit, 0, 'SIGTERM goes on to the one that runs');
});

void t.test('the version that is asked for stays for the next SIGHUP too', async (t) => {
  const { child, file, runs, exit } = start(t);
  await runs(1);
  const next = path.join(path.dirname(main), `next-${process.pid}.js`);
  symlinkSync(main, next);
  t.teardown(() => rmSync(next));
  writeUpgrade(file, { program: { node: process.execPath, main: next }, outcome: null, message: '' });
  child.kill('SIGHUP');
  t.match(await runs(2), [{ program: 'upgradable.js' }, { program: path.basename(next) }]);
  await waitFor('the answer', () => readUpgrade(file)?.outcome === 'runs' || undefined);
  child.kill('SIGHUP');
  t.match((await runs(3))[2], { program: path.basename(next) });
  child.kill('SIGTERM');
  t.equal(await exit, 0);
});

void t.test('when the new version does not start the old one goes on', async (t) => {
  const { child, file, runs, exit, errors } = start(t);
  await runs(1);
  const broken = path.join(path.dirname(file), 'broken.js');
  writeFileSync(broken, 'this is no program');
  for (const [index, program] of [
    { node: process.execPath, main: broken },
    { node: '/no/such/node', main },
  ].entries()) {
    writeUpgrade(file, { program, outcome: null, message: '' });
    child.kill('SIGHUP');
    const all = await runs(index + 2);
    t.equal(all.at(-1)?.pid, child.pid);
    t.match(readUpgrade(file), { outcome: 'failed', message: /could not be executed|exit code 1/ });
    t.match(errors(), /the version that ran before goes on/);
  }
  child.kill('SIGTERM');
  t.equal(await exit, 0);
});

void t.test('how the new version ended, and what it said last, is told and kept', async (t) => {
  const { child, file, runs, exit, output, errors } = start(t);
  await runs(1);
  const folder = path.dirname(file);
  const exitModule = JSON.stringify(new URL('../../../src/host/exit.js', import.meta.url).href);
  const cases = [
    {
      text: `process.kill(process.pid, 'SIGSEGV'); setInterval(() => undefined, 1_000);`,
      failure: { code: null, signal: 'SIGSEGV', lastLines: [] },
      message: 'could not take over: it was killed by SIGSEGV',
    },
    {
      text: `import { fail } from ${exitModule};
        process.exit(fail(new Error('no sense in it'), new AbortController().signal));`,
      failure: { code: 1, signal: null, lastLines: /^hamlet: no sense in it,Error: no sense in it,.* at / },
      message: 'could not take over: it ended with exit code 1: no sense in it',
    },
  ];
  for (const [index, { text, failure, message }] of cases.entries()) {
    const program = path.join(folder, `broken-${index}.mjs`);
    writeFileSync(program, text);
    writeUpgrade(file, { program: { node: process.execPath, main: program }, outcome: null, message: '' });
    child.kill('SIGHUP');
    const all = await runs(index + 2);
    t.equal(all.at(-1)?.pid, child.pid, 'the first one goes on');
    t.match(readUpgrade(file), { outcome: 'failed', message });
    t.match(errors(), `${program} ${message.split(': no')[0] ?? ''}; the version that ran before goes on`);
    const [, kept = ''] = [...output().matchAll(/^failure (.*)$/gm)].at(-1) ?? [];
    const { lastLines, ...rest } = JSON.parse(kept) as { lastLines: string[] };
    t.match(rest, {
      code: failure.code,
      signal: failure.signal,
      message: new RegExp(`^${program} could not`),
    });
    t.match(lastLines.join(), Array.isArray(failure.lastLines) ? /^$/ : failure.lastLines);
  }
  child.kill('SIGHUP');
  const last = (await runs(4)).at(-1);
  t.not(last?.pid, child.pid, 'and a sound one comes up after that');
  t.equal([...output().matchAll(/^failure /gm)].length, cases.length, 'a failure is told once');
  process.kill(last?.pid ?? 0, 'SIGKILL');
  t.equal(await exit, 128 + 9);
  t.match(errors(), /upgradable\.js, which ran the node, was killed by SIGKILL/);
});

void t.test('where init can watch the new process, the old one ends', async (t) => {
  const { child, file, runs, exit, output } = start(t, { PASS_ON: 'works' });
  await runs(1);
  writeUpgrade(file, { program: { node: process.execPath, main }, outcome: null, message: '' });
  child.kill('SIGHUP');
  const [first, second] = await runs(2);
  t.equal(await exit, 0);
  t.match(output(), `${first?.pid} passes on to ${second?.pid}\n`);
  t.equal(readUpgrade(file)?.outcome, 'runs');

  // The new one stands on its own from then on: it goes on, and does the same at the next SIGHUP.
  const secondPid = second?.pid ?? 0;
  process.kill(secondPid, 'SIGHUP');
  const [, , third] = await runs(3);
  await waitFor('the end of the second', () => startTicksOf(secondPid) === undefined || undefined);
  t.match(output(), `${secondPid} passes on to ${third?.pid}\n`);
  const thirdPid = third?.pid ?? 0;
  process.kill(thirdPid, 'SIGTERM');
  await waitFor('the end of the third', () => startTicksOf(thirdPid) === undefined || undefined);
});

void t.test('when init could not be told, the old process stays and waits for the new one', async (t) => {
  const { child, runs, exit, errors } = start(t, { PASS_ON: 'fails' });
  await runs(1);
  child.kill('SIGHUP');
  const [, second] = await runs(2);
  await waitFor(
    'its message',
    () => /init still watches process \d+: nobody listens/.test(errors()) || undefined,
  );
  child.kill('SIGTERM');
  t.equal(await exit, 0);
  t.equal(startTicksOf(second?.pid ?? 0), undefined);
});

void t.test('without the process that init knows the new version leaves', async (t) => {
  const { child, runs } = start(t);
  await runs(1);
  child.kill('SIGHUP');
  const [, second] = await runs(2);
  const pid = second?.pid ?? 0;
  const startTicks = startTicksOf(pid) ?? 0;
  child.kill('SIGKILL');
  await waitFor('its end', () => !isAlive(pid, startTicks) || undefined);
  t.notOk(isAlive(pid, startTicks));
});

void t.test('a file that is no record of an upgrade is not believed', async (t) => {
  const file = path.join(t.testdir(), 'upgrade.json');
  t.equal(readUpgrade(file), undefined);
  for (const content of ['', '{"program":{"node":"/x"', '{"program":null,"outcome":null,"message":""}']) {
    writeFileSync(file, content);
    t.equal(readUpgrade(file), undefined);
  }
});
