import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { messageOf } from '../../src/lib/errors.js';
import { installPackages, missingPackages } from '../../src/provision/packages.js';
import { run } from '../node/support/hamlet.js';
import { goTree } from './go.js';
import { machinePackages, runInMachine, unpackKernel } from './virtual-machine.js';

const timeoutMs = 900_000;
const filesystemPackages = ['e2fsprogs', 'xfsprogs'];
/** The smallest XFS that mkfs.xfs makes; the file is sparse. */
const imageBytes = 300 << 20;
const filesystems = {
  ext4: ['mkfs.ext4', '-q', '-O', 'quota,project', '-E', 'quotatype=prjquota'],
  xfs: ['mkfs.xfs', '-q'],
} as const;
const packages = { projectquota: 'pkg/volume/util/projectquota', emptydir: 'pkg/volume/emptydir' };
const types = Object.keys(filesystems);
/** Not all of emptyDir's: some need programs that are not in the virtual machine. They run with the other Go tests. */
const withQuotas = '^Test(Quota|Write|Usage|Cleared|Project|Assign|FilesystemWithoutQuotas)';
const withoutQuotas = '^TestFilesystemMountedWithoutQuotas';

/**
 * The Go tests of emptyDir's quotas on ext4 and XFS: here if the kernel has quotas, and otherwise on Debian's kernel
 * in a virtual machine.
 */
void t.test('project quotas on ext4 and XFS', { timeout: timeoutMs }, async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-quota-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const refusal = await install(filesystemPackages, folder);
  if (refusal !== undefined) {
    t.pass('needs packages', { skip: refusal });
    return;
  }
  const images = Object.entries(filesystems).map(([type, [program, ...words]]) => {
    const image = path.join(folder, `${type}.img`);
    writeFileSync(image, '');
    truncateSync(image, imageBytes);
    execFileSync(program, [...words, image]);
    return { type, image };
  });
  const tree = await goTree(t);
  const binaries: Record<string, string> = {};
  for (const [name, place] of Object.entries(packages)) {
    const binary = path.join(folder, `${name}.test`);
    const { code, stdout, stderr } = await tree.test(['-c', '-o', binary], place);
    t.equal(code, 0, `${name} compiles`, { output: `${stdout}${stderr}` });
    binaries[`${name}.test`] = binary;
  }

  // In a mount namespace, whose mounts end with it.
  const here = ['--mount', 'sh', '-c'];
  const onImages = { root: folder, option: 'loop,', devices: images.map(({ image }) => image) };
  const probe = await run('unshare', [...here, mountAll({ ...onImages, option: 'loop,prjquota' })]);
  if (probe.code === 0) {
    const script = testScript({ ...onImages, binaries: Object.values(binaries) });
    const { code, stdout, stderr } = await run('unshare', [...here, script]);
    check(t, code, `${stdout}${stderr}`);
    return;
  }

  t.comment(`this kernel has no project quotas (${probe.stderr.split('\n', 1)[0]}): in a virtual machine`);
  const kernel = path.join(folder, 'kernel');
  const missing =
    process.arch === 'x64'
      ? ((await install(machinePackages, folder)) ??
        (await unpackKernel(kernel, AbortSignal.timeout(timeoutMs)).catch(
          (error: unknown) => `there is no kernel: ${messageOf(error)}`,
        )))
      : `there is no virtual machine for ${process.arch}`;
  if (missing !== undefined) {
    t.pass('needs a virtual machine', { skip: missing });
    return;
  }
  const script = testScript({
    root: '',
    option: '',
    devices: ['/dev/vda', '/dev/vdb'],
    binaries: Object.keys(binaries).map((name) => `/${name}`),
  });
  const disks = images.map(({ image }) => image);
  const { code, output } = await runInMachine(kernel, { folder, files: binaries, disks, script });
  check(t, code, output);
});

/** All passed on both filesystems, and none was left out. */
function check(t: Test, code: number | null, output: string): void {
  const passed = output.match(/^ {4}--- PASS: \S+\/(ext4|xfs)/gm) ?? [];
  t.ok(
    code === 0 && passed.length > 0 && !output.includes('--- SKIP:'),
    `${passed.length} passed on ext4 and XFS`,
    { output },
  );
}

interface Places {
  /** The folder of the mount points. */
  readonly root: string;
  /** Mount options, with a comma at the end if there are any. */
  readonly option: string;
  /** In the order of `filesystems`. */
  readonly devices: readonly string[];
}

/** Shell commands that mount both filesystems. */
function mountAll({ root, option, devices }: Places): string {
  const mounts = types.map(
    (type, index) =>
      `mkdir -p ${root}/${type}; mount -t ${type} -o ${option} ${devices[index] ?? ''} ${root}/${type}`,
  );
  return ['set -e', ...mounts].join('\n');
}

/** Runs the tests with quotas, and those of a mount without. */
function testScript({ binaries, ...places }: Places & { binaries: readonly string[] }): string {
  const points = types.map((type) => `${places.root}/${type}`);
  const phase = (option: string, variable: string, tests: string) => [
    mountAll({ ...places, option: places.option + option }),
    ...binaries.map((binary) => `${variable}=${points.join(':')} ${binary} -test.v '-test.run=${tests}'`),
    `umount ${points.join(' ')}`,
  ];
  return [
    ...phase('prjquota', 'PROJECT_QUOTA_MOUNTS', withQuotas),
    ...phase('defaults', 'PROJECT_QUOTA_OFF_MOUNTS', withoutQuotas),
  ].join('\n');
}

/** Installs packages, or says why it cannot. */
async function install(names: readonly string[], folder: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const missing = await missingPackages(names, signal);
    if (missing.length > 0) await installPackages(missing, folder, signal);
    return undefined;
  } catch (error) {
    return `Debian's packages cannot be had: ${messageOf(error)}`;
  }
}
