import { mkdirSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { poll } from '../../src/lib/time.js';
import type { TestNode } from '../../test/node/support/hamlet.js';
import { kubeletPid } from './kubelet.js';

const restartTimeoutMs = 60_000;

/** A kubelet to measure, and how it collects. */
export interface Mode {
  /** The binary. */
  readonly kube: string;
  /** KUBELET_MOUNT_BY: how it mounts. */
  readonly mountBy: 'syscall' | 'program';
  /** How often it measures every volume, in seconds; a negative number for never. */
  readonly volumesEveryS: number;
}

/**
 * A components.dir whose `kube` is a script, so that one node with the same pods runs one kubelet after the other.
 * Everything but the kubelet is always the patched binary.
 */
export class KubeletSwitch {
  readonly dir: string;
  readonly #patched: string;

  constructor(folder: string, patched: string) {
    this.dir = path.join(folder, 'components');
    this.#patched = patched;
    mkdirSync(this.dir);
    this.#write({ kube: patched, mountBy: 'syscall', volumesEveryS: -1 });
  }

  /** Starts the node's kubelet again as `mode` says. Gives its pid. */
  async to(node: TestNode, mode: Mode): Promise<number> {
    this.#write(mode);
    const before = kubeletPid(node);
    process.kill(before);
    return poll(
      () => {
        const pid = tryKubeletPid(node);
        return pid !== undefined && pid !== before && executable(pid) === mode.kube ? pid : undefined;
      },
      { everyMs: 100, timeoutMs: restartTimeoutMs, what: `the kubelet ${mode.kube}` },
    );
  }

  #write({ kube, mountBy, volumesEveryS }: Mode): void {
    const file = path.join(this.dir, 'kube');
    const script = [
      '#!/bin/sh',
      `if [ "$1" != kubelet ]; then exec ${this.#patched} "$@"; fi`,
      `KUBELET_MOUNT_BY=${mountBy} exec ${kube} "$@" --volume-stats-agg-period=${volumesEveryS}s`,
    ];
    writeFileSync(`${file}.new`, `${script.join('\n')}\n`, { mode: 0o755 });
    renameSync(`${file}.new`, file);
  }
}

function tryKubeletPid(node: TestNode): number | undefined {
  try {
    return kubeletPid(node);
  } catch {
    return undefined;
  }
}

function executable(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}
