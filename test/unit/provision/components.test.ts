import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { isHamletError } from '../../../src/lib/errors.js';
import { builtRereads, kubeCommand } from '../../../src/platform/components.js';
import { parseConfig } from '../../../src/platform/config.js';
import { putEntry, temporaryFolder } from '../../../src/provision/cache.js';
import {
  componentsOf,
  findComponents,
  isNotBuilt,
  kubernetesFolder,
  resolveComponents,
  takeInventory,
} from '../../../src/provision/components.js';
import {
  givenKubeInputs,
  givenPauseInputs,
  kubeArtefact,
  pauseArtefact,
  pauseRef,
} from '../../../src/provision/recipes.js';

const { signal } = new AbortController();

function configWith(cacheDir: string) {
  const config = parseConfig({}, 'test');
  return { ...config, components: { ...config.components, cacheDir } };
}

/** A cache that has what this checkout asks for, with a few bytes in place of the binary. */
async function filledCache(cacheDir: string, go = 'go1.19.8') {
  const put = (kind: string, file: string, given: Record<string, string>, facts: Record<string, string>) => {
    const folder = temporaryFolder(cacheDir);
    writeFileSync(path.join(folder, file), `the ${kind}`);
    return putEntry(cacheDir, kind, folder, { given, found: { go }, facts }, signal);
  };
  const given = await givenKubeInputs(kubernetesFolder, signal);
  const kube = await put(kubeArtefact.kind, kubeArtefact.file, given, { version: 'v1.20.2' });
  const pause = await put(pauseArtefact.kind, pauseArtefact.file, givenPauseInputs(), {});
  return { kube: path.join(kube.folder, 'kube'), pause: path.join(pause.folder, 'pause.tar') };
}

/** What resolveComponents() complains about, besides programs that this machine may not have. */
async function problemsOf(cacheDir: string): Promise<string[]> {
  try {
    await resolveComponents(configWith(cacheDir), signal);
    return [];
  } catch (error) {
    if (!isHamletError(error, 'FAILED_PRECONDITION')) throw error;
    t.match(error.message, /npm start/, 'the message says what mends it');
    return (error.details.problems as string[]).filter((problem) => problem.includes(cacheDir));
  }
}

void t.test('a filled cache is used', async (t) => {
  const cacheDir = t.testdir();
  const files = await filledCache(cacheDir);
  t.same(await problemsOf(cacheDir), []);
  const inventory = await takeInventory(configWith(cacheDir), signal);
  const machine = { etcd: '/e', containerd: '/c', ctr: '/t', runc: '/r', cniBinDir: '/n', programs: {} };
  const components = componentsOf({ ...inventory, programs: { kind: 'found', programs: machine } });
  t.same(kubeCommand(components, 'kubelet'), [files.kube, 'kubelet']);
  t.match(components, {
    etcd: '/e',
    kubernetesVersion: { major: 1, minor: 20, patch: 2, text: 'v1.20.2' },
    rereads: builtRereads,
    pauseImage: { archive: files.pause, ref: pauseRef },
  });
});

void t.test('an empty cache is said to be empty', async (t) => {
  const cacheDir = t.testdir();
  const problems = await problemsOf(cacheDir);
  t.equal(problems.length, 2);
  t.match(problems[0], /^Kubernetes is not in the cache/);
  t.match(problems[1], /^the pause image is not in the cache/);
});

void t.test('one altered byte keeps the binary from being used', async (t) => {
  const cacheDir = t.testdir();
  const { kube, pause } = await filledCache(cacheDir);
  for (const file of [kube, pause]) {
    const good = readFileSync(file);
    const bad = Buffer.from(good);
    bad[0] = 0;
    writeFileSync(file, bad);
    t.same(await problemsOf(cacheDir), [`${file} is not what was built: its SHA-256 differs`]);
    writeFileSync(file, good);
  }
  t.same(await problemsOf(cacheDir), []);
});

void t.test('a start finds the binary at once, and what is altered by the end of the check', async (t) => {
  const cacheDir = t.testdir();
  const run = t.testdir();
  const config = configWith(cacheDir);
  const { kube } = await filledCache(cacheDir);
  const find = async () => {
    try {
      return await findComponents({ ...config, paths: { ...config.paths, run } }, signal);
    } catch (error) {
      // This machine may lack programs, which is found first.
      if (isHamletError(error, 'FAILED_PRECONDITION')) return undefined;
      throw error;
    }
  };
  const good = await find();
  if (good === undefined) {
    t.pass('etcd, containerd or runc are not installed here: the rest needs them', { skip: true });
    return;
  }
  await good.verify();
  await (await find())?.verify();
  writeFileSync(kube, 'The kube.');
  await t.rejects((await find())?.verify() ?? Promise.resolve(), {
    code: 'FAILED_PRECONDITION',
    message: /kube is not what was built[^]*npm start/,
  });
});

void t.test('a set-up asks for the binary of the compiler that is installed, a start does not', async (t) => {
  const cacheDir = t.testdir();
  await filledCache(cacheDir, 'go1.19.8');
  const built = async (go?: string) =>
    !isNotBuilt((await takeInventory(configWith(cacheDir), signal, { goVersion: go })).kubernetes);
  t.ok(await built('go1.19.8'));
  t.notOk(await built('go1.19.9'));
  t.ok(await built());
});

void t.test('programs that are missing are all named', async (t) => {
  const missing = [
    { name: 'etcd', folders: ['/usr/bin', '/bin'], debianPackage: 'etcd-server' },
    { name: 'runc', folders: ['/usr/bin', '/bin'], debianPackage: 'runc' },
  ];
  const inventory = await takeInventory(configWith(t.testdir()), signal);
  t.throws(() => componentsOf({ ...inventory, programs: { kind: 'missing', missing } }), {
    code: 'FAILED_PRECONDITION',
    message: /etcd is not in \/usr\/bin, \/bin \(Debian's package etcd-server has it\)\nrunc is not in/,
  });
});
