import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { updateLists } from '../../src/provision/apt.js';

const execute = promisify(execFile);

/** What a virtual machine is made of, by the names of Debian's packages. */
export const machinePackages = ['qemu-system-x86', 'cpio', 'busybox-static'];
/** Its dependency is the kernel itself, which is unpacked and not installed. */
const kernelPackage = 'linux-image-cloud-amd64';

/** In the order in which they need each other. What a kernel has built in is no file and is left out. */
const modules = [
  'virtio_ring',
  'virtio',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio_blk',
  'quota_tree',
  'quota_v2',
  'libcrc32c',
  'xfs',
];
const memoryMiB = 1024;
const maxOutputBytes = 16 << 20;
/** Software emulation starts Linux within ten seconds where nothing else runs. */
const timeoutMs = 480_000;
const exitMark = 'the script ended with';

export interface MachineOptions {
  /** An empty folder for what it is made of. */
  readonly folder: string;
  /** Files to put into its root, by their names there. */
  readonly files: Readonly<Record<string, string>>;
  /** Disk images: /dev/vda and so on. */
  readonly disks: readonly string[];
  /** For a shell. */
  readonly script: string;
}

/**
 * Downloads Debian's kernel and unpacks it to `folder`. The package lists are brought up to date only if it does not go
 * without. Throws when the archive cannot be reached.
 */
export async function unpackKernel(folder: string, signal: AbortSignal): Promise<void> {
  mkdirSync(folder);
  try {
    await downloadKernel(folder);
  } catch {
    await updateLists(signal);
    await downloadKernel(folder);
  }
  const [archive = ''] = readdirSync(folder);
  await execute('dpkg-deb', ['--extract', archive, '.'], { cwd: folder });
}

async function downloadKernel(folder: string): Promise<void> {
  const { stdout } = await execute('apt-cache', ['depends', kernelPackage]);
  const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  if (name === undefined) throw new Error(`the package lists have no ${kernelPackage}`);
  // Without root's sandbox: apt's own user may not write into this folder.
  await execute('apt-get', ['download', '-o', 'APT::Sandbox::User=root', name], { cwd: folder });
}

/**
 * Runs a script in a virtual machine under software emulation, with Debian's kernel of `kernelFolder` and a root
 * file system in memory. Gives the script's exit code and what the machine printed.
 */
export async function runInMachine(
  kernelFolder: string,
  { folder, files, disks, script }: MachineOptions,
): Promise<{ code: number; output: string }> {
  const root = path.join(folder, 'root');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'modules'])
    mkdirSync(path.join(root, name), { recursive: true });
  cpSync('/bin/busybox', path.join(root, 'bin/busybox'), { dereference: true });
  symlinkSync('busybox', path.join(root, 'bin/sh'));
  for (const [name, file] of Object.entries(files)) cpSync(file, path.join(root, name));
  const found = execFileSync('find', [path.join(kernelFolder, 'lib/modules'), '-name', '*.ko'], {
    encoding: 'utf8',
  });
  const loaded = modules.flatMap((name) =>
    found.split('\n').filter((file) => path.basename(file, '.ko') === name),
  );
  for (const file of loaded) cpSync(file, path.join(root, 'modules', path.basename(file)));
  const init = [
    '#!/bin/sh',
    '/bin/busybox --install -s /bin',
    'mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp',
    ...loaded.map((file) => `insmod /modules/${path.basename(file)}`),
    '(',
    'set -e',
    script,
    ')',
    `echo "${exitMark} $?"`,
    'poweroff -f',
  ];
  writeFileSync(path.join(root, 'init'), `${init.join('\n')}\n`);
  chmodSync(path.join(root, 'init'), 0o755);
  const initramfs = path.join(folder, 'initramfs');
  await execute('sh', ['-c', 'cd "$1" && find . | cpio --quiet -o -H newc > "$2"', 'sh', root, initramfs]);

  const boot = path.join(kernelFolder, 'boot');
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-')) ?? '';
  const { stdout } = await execute(
    'qemu-system-x86_64',
    [
      ...['-machine', 'pc', '-accel', 'tcg', '-cpu', 'max', '-m', String(memoryMiB)],
      ...['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
      ...['-kernel', path.join(boot, kernel), '-initrd', initramfs],
      ...['-append', 'console=ttyS0 quiet panic=-1'],
      ...disks.flatMap((disk) => ['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`]),
    ],
    { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: maxOutputBytes },
  );
  const code = new RegExp(`${exitMark} (\\d+)`).exec(stdout)?.[1];
  if (code === undefined) throw new Error(`the virtual machine ended early:\n${stdout}`);
  return { code: Number(code), output: stdout };
}
