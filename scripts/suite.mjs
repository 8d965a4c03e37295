// Runs test files. Each is a program that prints TAP and ends with a count of its own; without a runner's hooks in
// each of them they start in a fraction of the time. Plain JavaScript without dependencies, as the file that uses it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** How long a file may take to end by itself after its limit, when tap has it say what it was waiting for. */
const usualGraceMs = 30_000;
/** How much of a failed test's own words is shown. */
const saidLines = 30;

/**
 * @typedef {object} Result
 * @property {string} file
 * @property {number} seconds
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} failures what failed, and the beginning of what it says
 *
 * @typedef {object} Options
 * @property {string} root the folder that the files' names and `results` are relative to, and in which they are run
 * @property {string} results the folder for what each file has printed
 * @property {number} jobs how many run at a time
 * @property {number} limitMs how long a file may take
 * @property {number} [graceMs] how long after that it is killed
 * @property {(result: Result) => void} onResult called when a file is done
 */

/**
 * Runs the files and gives what became of each, in their order. A file that does not end in time is killed with all that
 * it has started; a signal that ends this process goes to those that run, and then nothing more is started.
 * @param {readonly string[]} files
 * @param {Options} options
 * @returns {Promise<Result[]>}
 */
export async function runFiles(files, options) {
  const results = /** @type {Result[]} */ ([]);
  const running = /** @type {Set<number>} */ (new Set());
  const waiting = [...files.entries()];
  let stopped = /** @type {NodeJS.Signals | undefined} */ (undefined);
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    stopped = signal;
    for (const pid of running) sendToGroup(pid, signal);
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined && stopped === undefined; next = waiting.shift()) {
      const [index, file] = next;
      const result = await runFile(file, running, options);
      results[index] = result;
      options.onResult(result);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (stopped !== undefined) throw new Error(`interrupted by ${stopped}`);
  return results;
}

/**
 * @param {string} file
 * @param {Set<number>} running
 * @param {Options} options
 * @returns {Promise<Result>}
 */
async function runFile(file, running, { root, results, limitMs, graceMs = usualGraceMs }) {
  const startedMs = performance.now();
  // tap gives up a test after 30 s unless told otherwise.
  const env = { ...process.env, TAP_TIMEOUT: String(limitMs / 1_000) };
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    cwd: root,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = child.pid ?? 0;
  running.add(pid);
  const output = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk) => (output.out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk) => (output.err += chunk));
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    sendToGroup(pid, 'SIGKILL');
  }, limitMs + graceMs);
  const exit = once(child, 'exit');
  const [code, signal] = await once(child, 'close').catch((error) => [error.message, null]);
  await exit.catch(() => undefined);
  clearTimeout(timer);
  running.delete(pid);
  sendToGroup(pid, 'SIGKILL');

  const seconds = (performance.now() - startedMs) / 1_000;
  const how = isLate ? `did not end within ${limitMs / 1_000} s` : describeEnd(code, signal);
  keep(path.join(root, results, `${file}.tap`), output);
  return { file, seconds, ...judge(output.out, how, output.err) };
}

/**
 * What a file's output and its end say together: one that was not seen to its end has failed, whatever it says.
 * @param {string} output
 * @param {string | undefined} end how it ended, if not well
 * @param {string} errors what it wrote on stderr
 * @returns {Omit<Result, 'file' | 'seconds'>}
 */
export function judge(output, end, errors = '') {
  // The last words: "# { total: 12, pass: 11, fail: 1 }".
  const summary = output.match(/^# \{ total: .*\}$/gm)?.at(-1);
  const count = (/** @type {string} */ word) =>
    Number(summary?.match(new RegExp(`\\b${word}: (\\d+)`))?.[1] ?? 0);
  const [passed, failed, skipped] = [count('pass'), count('fail'), count('skip') + count('todo')];
  const failures = failedTests(output);
  const problem = end ?? (summary === undefined ? 'said nothing of how many tests it has' : undefined);
  if (failed > 0 || problem === undefined) return { passed, failed, skipped, failures };
  return {
    passed,
    failed: 1,
    skipped,
    failures: [...failures, `it ${problem}`, ...errors.trimEnd().split('\n').slice(-saidLines)],
  };
}

/**
 * The tests that failed, and the beginning of what each says about it.
 * @param {string} output
 * @returns {string[]}
 */
function failedTests(output) {
  const lines = [];
  let left = 0;
  for (const line of output.split('\n')) {
    if (/^ *not ok /.test(line)) left = saidLines;
    else if (/^ *(\.\.\.|ok .*|at:|source: .*)$/.test(line)) left = 0;
    if (left > 0 && line.trim() !== '') lines.push(line.trimEnd());
    left -= 1;
  }
  return lines;
}

/** @param {number | string | null} code @param {string | null} signal */
function describeEnd(code, signal) {
  if (signal !== null) return `was killed by ${signal}`;
  return code === 0 ? undefined : `ended with code ${code}`;
}

/** @param {string} file @param {{ out: string, err: string }} output */
function keep(file, { out, err }) {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, err === '' ? out : `${out}\n# on stderr:\n${err.replace(/^/gm, '# ')}\n`);
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function sendToGroup(pid, signal) {
  try {
    if (pid > 0) process.kill(-pid, signal);
  } catch {
    // Nothing of it is left.
  }
}
