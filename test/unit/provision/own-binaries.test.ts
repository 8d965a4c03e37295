import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { kubeCommand, kubePrograms, type Components } from '../../../src/platform/components.js';
import { imageArchive } from '../../../src/provision/image-archive.js';
import { kubernetesFolder } from '../../../src/provision/components.js';
import { findMarks, findOwnKubernetes, findOwnPause } from '../../../src/provision/own-binaries.js';

const options = { proxy: true, signal: new AbortController().signal };

/** A file that answers as the program of a release does. */
function program(dir: string, name: string, prints: string): string {
  const file = path.join(dir, name);
  writeFileSync(file, `#!/bin/sh\ncase "$*" in *--version) ;; *) exit 64;; esac\n${prints}\n`);
  chmodSync(file, 0o755);
  return file;
}

function release(dir: string, version: string, leftOut: readonly string[] = []): string {
  for (const name of kubePrograms) {
    if (!leftOut.includes(name)) program(dir, name, `echo "Kubernetes ${version}"`);
  }
  return dir;
}

const commandOf = (kube: Components['kube'], name: (typeof kubePrograms)[number]) =>
  kubeCommand({ kube } as Components, name);

void t.test("an official release's separate binaries", async (t) => {
  const dir = release(t.testdir(), 'v1.36.0-rc.1');
  const { kube, version } = await findOwnKubernetes(dir, options);
  t.same(version, { major: 1, minor: 36, patch: 0, text: 'v1.36.0-rc.1' });
  for (const name of kubePrograms) t.same(commandOf(kube, name), [path.join(dir, name)]);
});

void t.test('one binary that is all of them', async (t) => {
  const dir = t.testdir();
  const kube = program(dir, 'kube', '[ "$1" = kubelet ] && echo "Kubernetes v1.20.2"');
  const found = await findOwnKubernetes(dir, options);
  t.equal(found.version.text, 'v1.20.2');
  t.same(commandOf(found.kube, 'kube-apiserver'), [kube, 'kube-apiserver']);
});

void t.test('without kube-proxy its binary is not asked for', async (t) => {
  const dir = release(t.testdir(), 'v1.30.4', ['kube-proxy']);
  const { kube } = await findOwnKubernetes(dir, { ...options, proxy: false });
  t.throws(() => commandOf(kube, 'kube-proxy'), { code: 'FAILED_PRECONDITION' });
  await t.rejects(findOwnKubernetes(dir, options), { message: /may be run: kube-proxy$/ });
});

void t.test('what cannot be used is refused, and it is said why', async (t) => {
  const refusal = async (dir: string, message: RegExp) => {
    await t.rejects(findOwnKubernetes(dir, options), { code: 'FAILED_PRECONDITION', message });
  };
  await refusal('/nonexistent/folder', /^components.dir: there is no folder \/nonexistent\/folder$/);

  const dir = t.testdir();
  await refusal(dir, new RegExp(`${dir} has neither "kube" nor .*: ${kubePrograms.join(', ')}$`));

  release(dir, 'v1.31.2', ['kubectl', 'kube-scheduler']);
  await refusal(dir, /may be run: kube-scheduler, kubectl$/);
  release(dir, 'v1.31.2');
  chmodSync(path.join(dir, 'kubectl'), 0o644);
  await refusal(dir, /may be run: kubectl$/);

  release(dir, 'v1.31.2');
  program(dir, 'kubelet', 'echo "Kubernetes v1.30.9"');
  await refusal(dir, /different releases: kube-apiserver v1\.31\.2, kubelet v1\.30\.9$/);
  release(dir, 'v1.19.16');
  await refusal(dir, /is v1\.19\.16; the oldest release that can be used is v1\.20$/);
  release(dir, 'v1.31.2');
  program(dir, 'kube-apiserver', 'echo "something else"');
  await refusal(dir, /kube-apiserver --version names no Kubernetes release; it printed "something else"$/);
  program(dir, 'kube-apiserver', 'echo "cannot load" >&2; exit 3');
  await refusal(dir, /kube-apiserver --version cannot be run: /);
  // An ELF file for no machine there is: exec refuses it.
  writeFileSync(path.join(dir, 'kube-apiserver'), Buffer.from('7f454c46', 'hex'), { mode: 0o755 });
  await refusal(dir, /kube-apiserver --version cannot be run: /);
});

void t.test("a pause image of one's own", async (t) => {
  const dir = t.testdir();
  const archive = path.join(dir, 'pause.tar');
  t.equal(await findOwnPause(dir, options.signal), undefined);
  writeFileSync(archive, imageArchive('example.test/pause:9', {}, []));
  t.same(await findOwnPause(dir, options.signal), { archive, ref: 'example.test/pause:9' });
  writeFileSync(archive, 'no archive');
  await t.rejects(findOwnPause(dir, options.signal), { message: /pause.tar is no image archive/ });
  rmSync(archive);
});

void t.test("what a kubelet has of Hamlet's own build is found, wherever it lies in it", async (t) => {
  const file = path.join(t.testdir(), 'kube');
  const marks = {
    patches: 'needs the program mount(8)',
    rereads: 'takes a certificate that has changed within ten seconds',
  };
  const found = async () => [...(await findMarks({ kind: 'multicall', path: file }, options.signal))];
  for (const [name, mark] of Object.entries(marks)) {
    for (const before of [0, 5_000, (1 << 20) - 10, (1 << 20) - mark.length, 1 << 20, (2 << 20) - 1]) {
      writeFileSync(file, `${'x'.repeat(before)}${mark}${'x'.repeat(10)}`);
      t.same(await found(), [name], `${name} after ${before} bytes`);
    }
  }
  writeFileSync(file, Object.values(marks).join('x'.repeat(1 << 20)));
  t.same((await found()).sort(), ['patches', 'rereads']);
  const main = path.join(kubernetesFolder, 'main.go');
  t.ok(readFileSync(main).includes(marks.rereads), 'it is what a binary of this checkout has');
  writeFileSync(file, 'needs the program'.repeat(100_000));
  t.same(await found(), []);
  writeFileSync(file, '');
  t.same(await found(), []);
  t.same([...(await findMarks({ kind: 'separate', paths: {} }, options.signal))], [], 'there is no kubelet');
});
