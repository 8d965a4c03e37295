#!/usr/bin/env node
// Runs the bundle of the same name with the code that V8 made of it at the build (scripts/bundle.mjs), which takes half
// the time that compiling it takes. Without that code, or with that of another version of Node, it is compiled as ever.
'use strict';
const { readFileSync } = require('node:fs');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');

const base = __filename.slice(0, -'.js'.length);
const filename = `${base}.bundle.js`;
let cachedData;
try {
  cachedData = readFileSync(`${base}.code`);
} catch {
  // It was not made, or is not there any more.
}
// A bundle is plain ASCII, whose bytes are its characters.
const script = new Script(readFileSync(filename, 'latin1'), {
  filename,
  ...(cachedData !== undefined && { cachedData }),
});
// The build asks for it when it has run (compile.cjs).
module.script = script;
script.runInThisContext()(require, module, pathToFileURL(__filename).href);
