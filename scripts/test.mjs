// Runs the checks and the tests: everything, or the suites that are named (unit, mesh, node, kubernetes, pki, init).
// Plain JavaScript without dependencies: on a fresh clone nothing is installed or built yet.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** All but the unit suite start whole sets of threads and processes: one file at a time. */
const suites = {
  unit: ['--jobs=2', '--timeout=300'],
  mesh: ['--jobs=1', '--timeout=180'],
  node: ['--jobs=1', '--timeout=900'],
  kubernetes: ['--jobs=1', '--timeout=900'],
  pki: ['--jobs=1', '--timeout=2400'],
  init: ['--jobs=1', '--timeout=900'],
};
/** They run only when they are asked for: one has files of the others in it, the other takes minutes of its own. */
const onlyAsked = ['pki', 'init'];
const gathered = {
  pki: [
    ...[
      'unit/certs/**/*',
      'unit/debug/*',
      'unit/cli/kubeconfig',
      'unit/host/secrets*',
      'unit/kubelet/renewals',
    ],
    ...['unit/platform/node-identity', 'unit/platform/derived-key', 'unit/platform/lifetimes'],
    ...['unit/reconciler/secrets', 'mesh/debug*', 'node/certs*', 'node/etcd', 'kubernetes/debug*', 'pki/*'],
  ],
};

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(suites, name));
if (unknown !== undefined) {
  console.error(`there is no test suite "${unknown}"; there are ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}
const names = asked.length > 0 ? asked : Object.keys(suites).filter((name) => !onlyAsked.includes(name));

/** @param {string[]} words */
function run(...words) {
  const [file = '', ...args] = words;
  const { status, error } = spawnSync(file, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw error;
  return status === 0;
}

/** @param {string} title @param {string[]} words */
function check(title, ...words) {
  const startedMs = performance.now();
  console.log(`\n== ${title}`);
  if (!run(...words)) {
    console.error(`\n${title}: failed`);
    process.exit(1);
  }
  console.log(`   ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
}

/**
 * What failed, by file and by test, and the beginning of what each says about it: the reporter's own words are lost
 * where only the end of the output is kept.
 * @param {string} output
 */
function failures(output) {
  const [said, lines] = [30, []];
  let left = 0;
  for (const line of output.split('\n')) {
    if (/^ *not ok /.test(line)) left = said;
    else if (/^ *(\.\.\.|ok .*|at:|source: .*)$/.test(line)) left = 0;
    if (left > 0 && line.trim() !== '') lines.push(line.trimEnd());
    left -= 1;
  }
  return lines;
}

// Only these suites need root and the components.
const withComponents = ['node', 'kubernetes', 'pki', 'init'];
const level = names.some((name) => withComponents.includes(name)) ? '--prepare-only' : '--build-only';
check('set-up and build', process.execPath, 'scripts/start.mjs', level);
if (asked.length === 0) {
  check('lint', 'node_modules/.bin/eslint', '.');
  check('format', 'node_modules/.bin/prettier', '--check', '--log-level=warn', '.');
}

const totals = { passed: 0, failed: 0, skipped: 0 };
let ok = true;
const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-test-'));
for (const name of names) {
  const patterns = gathered[name] ?? [`${name}/**/*`];
  if (gathered[name] === undefined && !existsSync(path.join(root, 'dist/test', name))) continue;
  console.log(`\n== ${name} tests`);
  const file = path.join(folder, `${name}.tap`);
  const tap = ['node_modules/.bin/tap', '--disable-coverage', '--reporter=terse', `--output-file=${file}`];
  ok = run(...tap, ...suites[name], ...patterns.map((pattern) => `dist/test/${pattern}.test.js`)) && ok;
  const output = readFileSync(file, 'utf8');
  for (const line of failures(output)) console.log(line);
  // tap's last words: "# { total: 12, pass: 11, fail: 1 }"
  const summary = output.match(/^# \{ total: .*\}$/m)?.[0] ?? '';
  const count = (word) => Number(summary.match(new RegExp(`\\b${word}: (\\d+)`))?.[1] ?? 0);
  totals.passed += count('pass');
  totals.failed += count('fail');
  totals.skipped += count('skip') + count('todo');
}
rmSync(folder, { recursive: true });

// A file that could not even be run failed no assertion, but it failed.
if (!ok && totals.failed === 0) totals.failed = 1;
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exit(ok && totals.failed === 0 ? 0 : 1);
