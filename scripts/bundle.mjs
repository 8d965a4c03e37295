// Puts each thread's modules into one file, dist/bundle/, after tsc: six threads that each look for a hundred files
// take a third of a second of the node's start. What is bundled is what tsc made; dist/src/ runs as well without this.
// Beside each NAME.bundle.js is the code that V8 makes of it, and NAME.js, which runs it with that (entry.cjs).
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { v8Options } from '../dist/src/host/v8-options.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const from = path.join(root, 'dist', 'src');
const to = path.join(root, 'dist', 'bundle');
const workers = ['certs', 'kubelet', 'reconciler', 'logs', 'debug'];
const jobs = ['generate-rsa-key', 'issue-certificates', 'pack-segment'];
const mainThreads = ['main.js', 'cli/main.js'];
const entries = [
  ...mainThreads,
  ...workers.map((name) => `workers/${name}/main.js`),
  ...jobs.map((name) => `jobs/${name}.js`),
];

/** It looks for files beside its own. */
const external = ['piscina'];

const bundled = (entry) => entry.replace(/\.js$/, '.bundle.js');

/** Whose neighbours are entries: they are found where the bundles are. */
const pool = path.join('jobs', 'pool.js');

/** A bundled module still finds its neighbours where tsc put it, unless they are entries. */
const neighbours = (entry) => ({
  name: 'neighbours',
  setup({ onLoad }) {
    onLoad({ filter: /\/dist\/src\/.*\.js$/ }, async ({ path: file }) => {
      const text = await readFile(file, 'utf8');
      const relative = path.relative(from, file);
      if (relative === entry || !text.includes('import.meta.url')) return { contents: text };
      const original = relative === pool ? path.join(to, pool) : file;
      const place = path.relative(path.dirname(path.join(to, entry)), original);
      return {
        contents: text.replaceAll(
          'import.meta.url',
          `new URL(${JSON.stringify(place)}, import.meta.url).href`,
        ),
      };
    });
    // Looks for its .proto file beside itself.
    onLoad({ filter: /\/node_modules\/etcd3\/.*\.js$/ }, async ({ path: file }) => {
      const place = path.relative(path.join(root, 'node_modules'), file);
      const here = `require('node:path').dirname(require.resolve(${JSON.stringify(place)}))`;
      return { contents: (await readFile(file, 'utf8')).replaceAll('${__dirname}', `\${${here}}`) };
    });
  },
});

rmSync(to, { recursive: true, force: true });
await Promise.all(
  entries.map((entry) =>
    build({
      entryPoints: [path.join(from, entry)],
      outfile: path.join(to, bundled(entry)),
      bundle: true,
      minifyWhitespace: true,
      minifySyntax: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      external,
      plugins: [neighbours(entry)],
      // A script that is run like this cannot import(); what stays outside can be required.
      supported: { 'dynamic-import': false },
      define: { 'import.meta.url': 'importMetaUrl' },
      banner: { js: '(function(require,module,importMetaUrl){' },
      footer: { js: '})' },
      sourcemap: 'linked',
      logLevel: 'warning',
      // etcd3's place is asked for when it is needed.
      logOverride: { 'require-resolve-not-external': 'silent' },
      legalComments: 'none',
    }),
  ),
);
writeFileSync(path.join(to, 'package.json'), '{ "type": "commonjs" }\n');
for (const entry of entries) {
  copyFileSync(path.join(root, 'scripts', 'entry.cjs'), path.join(to, entry));
  chmodSync(path.join(to, entry), 0o755);
}
const compile = path.join(root, 'scripts', 'compile.cjs');
await Promise.all(
  entries.map((entry) => {
    // V8 takes code only where it was made with the same options.
    const options = mainThreads.includes(entry) ? [] : v8Options;
    return promisify(execFile)(process.execPath, [...options, compile, path.join(to, entry), '--help']);
  }),
);
