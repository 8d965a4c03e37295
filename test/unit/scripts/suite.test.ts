import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../../src/lib/time.js';
import { startTicksOf } from '../../../src/platform/process.js';

const suite = new URL('../../../../scripts/suite.mjs', import.meta.url).href;

interface Result {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly string[];
}

/** Runs files of these texts, each for so long at most, as a program of its own does. */
function run(
  folder: string,
  names: readonly string[],
  limits: { limitMs: number; graceMs?: number },
): Result[] {
  const options = JSON.stringify({ root: folder, results: 'results', jobs: 2, ...limits });
  const script = `
    const { runFiles } = await import(${JSON.stringify(suite)});
    const results = await runFiles(${JSON.stringify(names)}, { ...${options}, onResult() {} });
    process.stdout.write(JSON.stringify(results));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return JSON.parse(output) as Result[];
}

const lines = (...text: string[]) => `console.log(${JSON.stringify(text.join('\n'))});`;

void t.test('a file passes only when it was seen to its end and says so itself', (t) => {
  const files = {
    'passes.js': lines('ok 1', '# { total: 3, pass: 2, skip: 1 }'),
    'fails.js': `${lines('    not ok 1 - deep', '      ---', '      found: 2', '      ...', '# { total: 2, pass: 1, fail: 1 }')} process.exitCode = 1;`,
    'exits.js': `${lines('ok 1', '# { total: 1, pass: 1 }')} process.exitCode = 3;`,
    'says-nothing.js': lines('ok 1', '1..1'),
    'throws.js': `throw new Error('at once');`,
    'is-killed.js': `${lines('ok 1', '# { total: 1, pass: 1 }')} process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000);`,
  };
  const folder = t.testdir(files);
  const results = new Map(
    run(folder, Object.keys(files), { limitMs: 60_000 }).map((result, i) => [Object.keys(files)[i], result]),
  );
  t.match(results.get('passes.js'), { passed: 2, failed: 0, skipped: 1, failures: [] });
  t.match(results.get('fails.js'), {
    passed: 1,
    failed: 1,
    failures: [/not ok 1 - deep/, /---/, /found: 2/],
  });
  t.match(results.get('exits.js'), { passed: 1, failed: 1, failures: ['it ended with code 3'] });
  t.match(results.get('says-nothing.js'), {
    failed: 1,
    failures: ['it said nothing of how many tests it has'],
  });
  t.match(results.get('throws.js'), { failed: 1, failures: { 0: 'it ended with code 1' } });
  t.ok(results.get('throws.js')?.failures.some((line) => line.includes('at once')));
  t.match(results.get('is-killed.js'), { failed: 1, failures: ['it was killed by SIGKILL'] });
  t.equal(readFileSync(path.join(folder, 'results', 'passes.js.tap'), 'utf8').split('\n')[0], 'ok 1');
  t.end();
});

void t.test('one that does not end is killed with what it has started', async (t) => {
  const folder = t.testdir({
    'hangs.js': `
      import { spawn } from 'node:child_process';
      import { writeFileSync } from 'node:fs';
      const child = spawn('sleep', ['600'], { stdio: 'ignore' });
      writeFileSync('pid', String(child.pid));
      setInterval(() => {}, 1000);`,
  });
  const [result] = run(folder, ['hangs.js'], { limitMs: 1_000, graceMs: 0 });
  t.match(result, { passed: 0, failed: 1, failures: ['it did not end within 1 s'] });
  const pid = Number(readFileSync(path.join(folder, 'pid'), 'utf8'));
  await poll(() => startTicksOf(pid) === undefined || undefined, {
    everyMs: 10,
    timeoutMs: 10_000,
    what: 'the end of what it has started',
  });
});
