import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

/** This file is dist/test/unit/provision/prepare.test.js. */
const root = fileURLToPath(new URL('../../../../', import.meta.url));
const lockFile = (version: string) => ({
  packages: {
    '': { name: 'project' },
    'node_modules/needed': { version, integrity: `sha512-${version}` },
    'node_modules/other-platform': { version, integrity: 'sha512-other', optional: true },
  },
});

/** In place of npm: writes down that it was called, and leaves what npm leaves. */
const npm = `
  import { appendFileSync, cpSync } from 'node:fs';
  appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
  cpSync('package-lock.json', 'node_modules/.package-lock.json');
`;

/** In place of the compiler, which would take seconds for each of these runs: what says "wrong" does not compile. */
const tsc = `
  const { mkdirSync, readFileSync, readdirSync, writeFileSync } = require('node:fs');
  mkdirSync('dist/src', { recursive: true });
  for (const name of readdirSync('src')) {
    const text = readFileSync('src/' + name, 'utf8');
    if (text.includes('wrong')) {
      console.log('src/' + name + '(1,1): error');
      process.exitCode = 2;
    }
    writeFileSync('dist/src/' + name.replace('.ts', '.js'), text);
  }
`;

/** A small project with this project's scripts. */
function project(t: Test) {
  const folder = t.testdir({
    'package.json': JSON.stringify({ type: 'module', engines: { node: '>=20.11' } }),
    'package-lock.json': JSON.stringify(lockFile('1.0.0')),
    'tsconfig.json': '{}',
    src: { 'kept.ts': 'export const kept = 1;\n', 'goes.ts': 'export const goes = 1;\n' },
    'npm.js': npm,
    scripts: {
      'bundle.mjs': "// In place of the bundler, which is the compiler's business too.\n",
      'compile.cjs': '',
      'entry.cjs': '',
    },
    node_modules: { typescript: { 'package.json': '{}', bin: { tsc } } },
  });
  for (const name of ['start.mjs', 'prepare.mjs']) {
    cpSync(path.join(root, 'scripts', name), path.join(folder, 'scripts', name));
  }
  const file = (...parts: string[]) => path.join(folder, ...parts);
  const buildOnly = () => {
    const { status, stderr } = spawnSync(process.execPath, [file('scripts/start.mjs'), '--build-only'], {
      encoding: 'utf8',
      env: { ...process.env, npm_execpath: file('npm.js') },
    });
    return {
      status,
      installed: stderr.includes('Installing'),
      compiled: stderr.includes('Compiling'),
      stderr,
    };
  };
  return { file, buildOnly };
}

void t.test('what is done already is not done again', async (t) => {
  const { file, buildOnly } = project(t);
  t.match(buildOnly(), { status: 0, installed: true, compiled: true });
  t.match(readFileSync(file('npm-calls'), 'utf8'), /^ci .*--ignore-scripts/);
  t.ok(existsSync(file('dist/src/kept.js')));
  t.match(buildOnly(), { status: 0, installed: false, compiled: false });

  const text = readFileSync(file('src/kept.ts'));
  writeFileSync(file('src/kept.ts'), text);
  t.match(buildOnly(), { compiled: false }, 'a file that was only touched is not compiled');
});

void t.test('a changed, new or deleted source is compiled anew', async (t) => {
  const { file, buildOnly } = project(t);
  buildOnly();
  writeFileSync(file('src/kept.ts'), 'export const kept = 2;\n');
  t.match(buildOnly(), { status: 0, compiled: true });
  t.match(readFileSync(file('dist/src/kept.js'), 'utf8'), /kept = 2/);
  rmSync(file('src/goes.ts'));
  t.match(buildOnly(), { status: 0, compiled: true });
  t.notOk(existsSync(file('dist/src/goes.js')), 'nothing stays of a source that is gone');
  rmSync(file('dist'), { recursive: true });
  t.match(buildOnly(), { status: 0, compiled: true });
});

void t.test('other dependencies are installed, those of other platforms are not asked for', async (t) => {
  const { file, buildOnly } = project(t);
  buildOnly();
  const installed = JSON.parse(readFileSync(file('node_modules/.package-lock.json'), 'utf8')) as ReturnType<
    typeof lockFile
  >;
  const { 'node_modules/other-platform': _, ...packages } = installed.packages;
  writeFileSync(file('node_modules/.package-lock.json'), JSON.stringify({ packages }));
  t.match(buildOnly(), { status: 0, installed: false });
  writeFileSync(file('package-lock.json'), JSON.stringify(lockFile('1.0.1')));
  t.match(buildOnly(), { status: 0, installed: true });
  rmSync(file('node_modules/.package-lock.json'));
  t.match(buildOnly(), { status: 0, installed: true }, 'an installation that was cut off');
});

void t.test('what makes and runs the bundles counts as a source', async (t) => {
  const { file, buildOnly } = project(t);
  buildOnly();
  for (const name of ['bundle.mjs', 'compile.cjs', 'entry.cjs']) {
    writeFileSync(file('scripts', name), '// Changed.\n');
    t.match(buildOnly(), { status: 0, compiled: true }, name);
    t.match(buildOnly(), { status: 0, compiled: false }, name);
  }
});

void t.test('a source that does not compile stops it, and says where', async (t) => {
  const { file, buildOnly } = project(t);
  writeFileSync(file('src/kept.ts'), 'wrong\n');
  const failed = buildOnly();
  t.equal(failed.status, 1);
  t.match(failed.stderr, /src\/kept\.ts\(1,1\): error/);
  t.equal(buildOnly().status, 1, 'also the next time');
  writeFileSync(file('src/kept.ts'), 'export const kept = 1;\n');
  t.match(buildOnly(), { status: 0, compiled: true });
});

void t.test('another Node.js is refused before anything else', async (t) => {
  const { file, buildOnly } = project(t);
  writeFileSync(file('package.json'), JSON.stringify({ type: 'module', engines: { node: '>=99.1' } }));
  const { status, stderr } = buildOnly();
  t.equal(status, 1);
  t.equal(stderr, `Hamlet needs Node.js 99.1 or later; this is ${process.versions.node}\n`);
  t.notOk(existsSync(file('npm-calls')));
});
