// Runs the checks and the tests: everything, or the suites that are named (unit, mesh, etcd, node, kubernetes, pki,
// init). Plain JavaScript without dependencies: on a fresh clone nothing is installed or built yet.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runFiles } from './suite.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const results = '.tap/results';
const second = 1_000;
/** There is one node at a time: of those in kubernetes, one file has a node, and others wait for minutes in Go. */
const suites = {
  unit: { jobs: 2, limitMs: 300 * second },
  mesh: { jobs: 2, limitMs: 180 * second },
  etcd: { jobs: 2, limitMs: 600 * second },
  node: { jobs: 1, limitMs: 900 * second },
  kubernetes: { jobs: 2, limitMs: 900 * second },
  pki: { jobs: 1, limitMs: 2_400 * second },
  init: { jobs: 1, limitMs: 900 * second },
};
/** They run only when they are asked for: one has files of the others in it, the other takes minutes of its own. */
const onlyAsked = ['pki', 'init'];
const gathered = {
  pki: [
    ...[
      'unit/certs/**',
      'unit/debug/*',
      'unit/cli/kubeconfig',
      'unit/host/secrets*',
      'unit/kubelet/renewals',
    ],
    ...['unit/platform/node-identity', 'unit/platform/derived-key', 'unit/platform/lifetimes'],
    ...['unit/reconciler/secrets', 'mesh/debug*', 'etcd/certs*', 'etcd/etcd', 'node/certs*'],
    ...['kubernetes/debug*', 'kubernetes/go', 'pki/*'],
  ],
};
/** Only these suites need root and the components. */
const withComponents = ['etcd', 'node', 'kubernetes', 'pki', 'init'];
/** A file that takes so long is shown when it is done. */
const slowSeconds = 10;
const shownSlowest = 5;

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(suites, name));
if (unknown !== undefined) {
  console.error(`there is no test suite "${unknown}"; there are ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}
const names = asked.length > 0 ? asked : Object.keys(suites).filter((name) => !onlyAsked.includes(name));
const failures = [];
const totals = { passed: 0, failed: 0, skipped: 0 };

const level = names.some((name) => withComponents.includes(name)) ? '--prepare-only' : '--build-only';
console.log('== set-up and build');
const setUp = spawnSync(process.execPath, ['scripts/start.mjs', level], { cwd: root, stdio: 'inherit' });
if (setUp.status !== 0) {
  console.error('\nset-up and build: failed');
  process.exit(1);
}

rmSync(path.join(root, results), { recursive: true, force: true });
const bin = path.join('node_modules', '.bin');
// They take as long as the unit tests, and leave the machine free when only one of those is left.
const checks =
  asked.length > 0
    ? []
    : [
        check('lint', path.join(bin, 'eslint'), '.'),
        check('format', path.join(bin, 'prettier'), '--check', '--log-level=warn', '.'),
      ];
try {
  for (const name of names) {
    await suite(name);
    await Promise.all(checks.splice(0));
  }
} catch (error) {
  failures.push(error.message);
}
if (failures.length > 0) console.log(`\n== what failed\n${failures.join('\n')}`);
// What could not even be run failed no assertion, but it failed.
const failed = Math.max(totals.failed, failures.length > 0 ? 1 : 0);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
console.log(`\n${totals.passed} passed, ${failed} failed${skipped}`);
process.exit(failed === 0 ? 0 : 1);

/** @param {string} name */
async function suite(name) {
  const files = filesOf(name);
  if (files.length === 0) return;
  console.log(`\n== ${name} tests`);
  const startedMs = performance.now();
  const all = await runFiles(files, {
    root,
    results,
    ...suites[name],
    onResult: (result) => {
      if (result.failed > 0 || result.seconds >= slowSeconds) console.log(describe(result));
    },
  });
  for (const { file, ...result } of all) {
    for (const key of Object.keys(totals)) totals[key] += result[key];
    if (result.failed > 0) failures.push(`\n${file}`, ...result.failures.map((line) => `  ${line}`));
  }
  const slowest = all
    .filter(({ seconds }) => seconds < slowSeconds)
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, shownSlowest);
  for (const result of slowest) console.log(describe(result));
  const passed = all.reduce((sum, result) => sum + result.passed, 0);
  console.log(`   ${files.length} files, ${passed} passed, ${secondsSince(startedMs)}`);
}

/** @param {import('./suite.mjs').Result} result */
function describe({ file, seconds, failed }) {
  return `${failed > 0 ? '!!' : '  '} ${seconds.toFixed(1).padStart(6)} s  ${path.relative('dist/test', file)}`;
}

/** The files of a suite: those in its folder, or those that were gathered for it. @param {string} name */
function filesOf(name) {
  const tests = path.join(root, 'dist', 'test');
  const patterns = (gathered[name] ?? [`${name}/**`]).map((glob) => {
    const pattern = glob.replace(/\*+/g, (stars) => (stars.length > 1 ? '.*' : '[^/]*'));
    return new RegExp(`^${pattern}\\.test\\.js$`);
  });
  if (!existsSync(tests)) return [];
  return (
    readdirSync(tests, { recursive: true })
      .map(String)
      .filter((file) => patterns.some((pattern) => pattern.test(file)))
      // What an earlier build has left of a test that is gone or elsewhere is none.
      .filter((file) => existsSync(path.join(root, 'test', file.replace(/js$/, 'ts'))))
      .sort()
      .map((file) => path.join('dist', 'test', file))
  );
}

/** Runs a check beside the tests; what it says is shown when it is over. @param {string} title @param {string[]} words */
async function check(title, ...words) {
  const startedMs = performance.now();
  const [file = '', ...args] = words;
  const child = spawn(file, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (said += text));
  const [code] = await once(child, 'close').catch((error) => [error.message]);
  console.log(`\n== ${title}\n${said}   ${secondsSince(startedMs)}`);
  if (code !== 0) failures.push(`\n${title}`, said.trimEnd());
}

/** @param {number} startedMs */
function secondsSince(startedMs) {
  return `${((performance.now() - startedMs) / 1_000).toFixed(1)} s`;
}
