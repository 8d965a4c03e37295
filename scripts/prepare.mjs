// The steps before anything of ours can run: npm dependencies and dist/. Each looks first whether it is done already,
// by content and not by time, and costs some milliseconds then. Each throws an Error whose message is for a person.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => path.join(root, ...parts);
const read = (...parts) => readFileSync(inRoot(...parts), 'utf8');

/** Everything that `tsc` reads. */
const sourceFolders = ['src', 'test', 'bench'];
const buildStamp = inRoot('dist', '.built-from');

export function checkMachine() {
  const oldest = JSON.parse(read('package.json')).engines.node.replace('>=', '').split('.').map(Number);
  const actual = process.versions.node.split('.').map(Number);
  if (actual[0] < oldest[0] || (actual[0] === oldest[0] && actual[1] < oldest[1])) {
    throw new Error(`Hamlet needs Node.js ${oldest.join('.')} or later; this is ${process.versions.node}`);
  }
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new Error(`Hamlet runs on Linux on x64 and arm64; this is ${process.platform} on ${process.arch}`);
  }
}

export function checkRoot() {
  if (process.geteuid() !== 0) throw new Error('A node needs root: run "sudo npm start".');
}

/** Runs `npm ci` unless node_modules is what package-lock.json asks for. */
export function installDependencies() {
  if (hasDependencies()) return;
  locked(() => {
    if (hasDependencies()) return;
    const npm = process.env.npm_execpath;
    // Nothing here needs an install script: what is native comes as a prebuilt package.
    const flags = ['ci', '--no-audit', '--no-fund', '--ignore-scripts'];
    const command = npm?.endsWith('.js') ? [process.execPath, npm, ...flags] : ['npm', ...flags];
    step('Installing npm dependencies', command, 'Check the network, then run the command again.');
  });
}

/** Compiles the sources unless dist/ was compiled from just these. */
export function build() {
  const wanted = hashSources();
  const isBuilt = () => existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === wanted;
  if (isBuilt()) return;
  locked(() => {
    if (isBuilt()) return;
    rmSync(buildStamp, { force: true });
    step('Compiling Hamlet', [process.execPath, inRoot('node_modules/typescript/bin/tsc'), '-p', root]);
    removeStale(inRoot('dist'));
    step('Bundling', [process.execPath, inRoot('scripts', 'bundle.mjs')]);
    // The stamp must not outlive, in a power cut, what it stands for.
    spawnSync('sync', ['--file-system', inRoot('dist')]);
    writeFileSync(`${buildStamp}.new`, wanted);
    renameSync(`${buildStamp}.new`, buildStamp);
  });
}

/**
 * npm writes what it installed to node_modules/.package-lock.json when it is through: every package that
 * package-lock.json has must be there with the same content, but for optional ones of other platforms.
 */
function hasDependencies() {
  const installedFile = inRoot('node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(JSON.parse(read('package-lock.json')).packages).every(
    ([name, wanted]) =>
      name === '' || (wanted.optional && !installed[name]) || installed[name]?.integrity === wanted.integrity,
  );
}

function hashSources() {
  const hash = createHash('sha256');
  const files = sourceFolders
    .filter((folder) => existsSync(inRoot(folder)))
    .flatMap((folder) => listFiles(folder));
  for (const file of [
    'package-lock.json',
    'tsconfig.json',
    'scripts/bundle.mjs',
    'scripts/compile.cjs',
    'scripts/entry.cjs',
    ...files.sort(),
  ]) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(inRoot(file)))
      .update('\0');
  }
  return hash.digest('hex');
}

function listFiles(folder) {
  return readdirSync(inRoot(folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(folder, entry.name);
    return entry.isDirectory() ? listFiles(name) : [name];
  });
}

/** Takes away what was compiled from a source that is gone: a test that nobody has any more must not run. */
function removeStale(dist) {
  for (const folder of sourceFolders.filter((name) => existsSync(path.join(dist, name)))) {
    for (const name of readdirSync(path.join(dist, folder), { recursive: true })) {
      const source = inRoot(folder, name.replace(/\.js(\.map)?$/, '.ts'));
      if (/\.js(\.map)?$/.test(name) && !existsSync(source)) rmSync(path.join(dist, folder, name));
    }
  }
}

/** One run at a time in this checkout. flock(1) locks the file through our descriptor, so a killed run frees it. */
function locked(run) {
  mkdirSync(inRoot('dist'), { recursive: true });
  const fd = openSync(inRoot('dist', '.lock'), 'a');
  try {
    spawnSync('flock', ['--exclusive', '3'], { stdio: ['ignore', 'inherit', 'inherit', fd] });
    run();
  } finally {
    closeSync(fd);
  }
}

/** Runs a command with its output shown only when it fails. */
function step(title, [file, ...args], advice = '') {
  const startedMs = performance.now();
  process.stderr.write(`${title} ... `);
  const { status, signal, stdout, stderr, error } = spawnSync(file, args, { cwd: root, encoding: 'utf8' });
  if (error?.code === 'ENOENT') throw new Error(`\n${title}: there is no program ${file}`);
  if (status !== 0) {
    const output = `${stdout}${stderr}`.trimEnd().split('\n').slice(-40).join('\n');
    throw new Error(`\n${output}\n${title} failed (${signal ?? `exit code ${status}`}). ${advice}`.trimEnd());
  }
  process.stderr.write(`done (${((performance.now() - startedMs) / 1_000).toFixed(1)} s)\n`);
}
