#!/usr/bin/env node
// Sets up what is missing and runs the node. Plain JavaScript without dependencies: on a fresh clone nothing is
// installed or built yet.
//
//   node scripts/start.mjs [--prepare-only | --build-only] [arguments of hamlet]
//
// --build-only: npm dependencies and dist/, for which nobody has to be root.
// --prepare-only: that, and the components.
import { build, checkMachine, checkRoot, installDependencies } from './prepare.mjs';

const args = process.argv.slice(2);
const take = (flag) => {
  const index = args.indexOf(flag);
  return index >= 0 && args.splice(index, 1).length > 0;
};
const buildOnly = take('--build-only');
const prepareOnly = take('--prepare-only');

try {
  checkMachine();
  if (!buildOnly) checkRoot();
  installDependencies();
  build();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}

if (!buildOnly) {
  const { runProvision } = await import('../dist/src/provision/cli.js');
  const exitCode = await runProvision(configArguments(args));
  if (exitCode !== 0 || prepareOnly) process.exit(exitCode);
  // From here on this process is the node: the same pid, signals and exit code.
  process.argv = [process.argv[0], new URL('../dist/bundle/main.js', import.meta.url).pathname, ...args];
  // The times of the node's start count from here.
  performance.mark('hamlet is set up');
  await import('../dist/bundle/main.js');
}

/** The set-up needs the configuration too: components.dir and components.cacheDir are in it. */
function configArguments(words) {
  const index = words.findIndex((word) => word === '--config' || word.startsWith('--config='));
  if (index < 0) return [];
  return words[index] === '--config' ? words.slice(index, index + 2) : [words[index]];
}
