// compile.cjs ENTRY ARGUMENT ...: runs an entry of dist/bundle/ as far as it goes without a node around it, and writes
// down the code that V8 has made of it by then, NAME.code.
'use strict';
const { writeFileSync } = require('node:fs');

const [, , entry, ...rest] = process.argv;
process.argv = [process.argv[0], entry, ...rest];

process.on('exit', () => {
  writeFileSync(entry.replace(/\.js$/, '.code'), require.cache[entry].script.createCachedData());
  process.exitCode = 0;
});
// A worker's main file finds no thread around it and fails, when all its modules are there.
process.on('unhandledRejection', () => process.exit());
require(entry);
