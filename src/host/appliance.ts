import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/files.js';

/** The name that the kernel has for this machine: of the UTS namespace that Hamlet runs in. */
const kernelHostname = '/proc/sys/kernel/hostname';
/** dist/src/host/ lies three folders below the package. */
const packageFile = new URL('../../../package.json', import.meta.url);

export interface ApplianceOptions {
  /** The folder of the files: /etc. */
  readonly etc: string;
  readonly node: { readonly id: string; readonly name: string; readonly address: string };
  /** Of the build; what package.json says unless it is given. */
  readonly version?: string;
  /** Where the kernel's name of the machine is written. */
  readonly hostnameFile?: string;
}

/**
 * Gives an appliance, an image that is nothing but a node, the names of its node: machine-id(5), os-release(5),
 * hostname(5), hosts(5) and the kernel's host name. What is right already is not written again. Never call it in
 * another layout: a host has names of its own. Gives in words what could not be written; a node can run without.
 */
export function nameAppliance({
  etc,
  node,
  version = ownVersion(),
  hostnameFile = kernelHostname,
}: ApplianceOptions): string[] {
  const files = {
    // 32 hex digits, the same as in the node's name.
    'machine-id': `${node.id.slice(0, 32)}\n`,
    'os-release': osRelease(version),
    hostname: `${node.name}\n`,
    hosts: `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n${node.address} ${node.name}\n`,
  };
  const writers = Object.entries(files).map(([name, content]) => {
    const file = path.join(etc, name);
    // A link, as os-release often is one, is replaced: what it leads to belongs to the image.
    return {
      file,
      content,
      write: () => writeFileAtomic(file, content, name === 'machine-id' ? 0o444 : 0o644),
    };
  });
  // The kernel takes a name in one write, and there is nothing to put in its place.
  const kernel = {
    file: hostnameFile,
    content: files.hostname,
    write: () => writeFileSync(hostnameFile, node.name),
  };
  return [...writers, kernel].flatMap(({ file, content, write }) => {
    try {
      if (read(file) !== content) write();
      return [];
    } catch (error) {
      return [`${file} cannot be written: ${messageOf(error)}`];
    }
  });
}

/** The kubelet reports PRETTY_NAME as the node's operating system. */
function osRelease(version: string): string {
  return `NAME=Hamlet\nID=hamlet\nVERSION_ID=${version}\nPRETTY_NAME="Hamlet ${version}"\n`;
}

function ownVersion(): string {
  return (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
