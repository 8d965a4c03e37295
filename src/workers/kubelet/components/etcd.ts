import { chmodSync } from 'node:fs';
import path from 'node:path';
import { ensureFolder } from '../../../lib/files.js';
import { etcdSocket, runPaths } from '../../../platform/paths.js';
import { usual, type Component, type Context } from '../component.js';
import { probeHttp } from '../probes.js';

/** One key that never exists, as base64: reading it is linearizable and moves no data. */
const probeRead = JSON.stringify({ key: Buffer.from('/hamlet/probe').toString('base64') });

/**
 * etcd on Unix sockets in a 0700 folder: on TCP, without client certificates, anyone on the machine could read the
 * keys in it. The sockets' names are relative, the only form that etcd 3.4 takes (see etcdSocket).
 */
export function etcd(context: Context): Component {
  const { paths } = context.config;
  const folder = runPaths(paths.run).etcd;
  return {
    ...usual,
    name: 'etcd',
    needs: [],
    credentials: 'none',
    // All others hang with it, so a hang is found sooner; a disk that is slow for once is given as much time as elsewhere.
    probePeriodMs: 2_000,
    failureThreshold: 5,
    prepare() {
      // One that is there already may be open to others.
      chmodSync(ensureFolder(folder, 0o700), 0o700);
      ensureFolder(path.dirname(paths.etcd));
    },
    command: () => ({
      cwd: folder,
      // etcd 3.4 does not take the socket of one that was killed away, and then cannot listen on it.
      stale: [etcdSocket(paths.run)],
      argv: [
        context.components.etcd,
        '--name=hamlet',
        `--data-dir=${paths.etcd}`,
        '--listen-client-urls=unix://client:0',
        '--advertise-client-urls=unix://client:0',
        '--listen-peer-urls=unix://peer:0',
        '--initial-advertise-peer-urls=unix://peer:0',
        '--initial-cluster=hamlet=unix://peer:0',
        // A member that is alone hears no other leader and still waits for one at its start: a second and more with
        // etcd's own settings, which are made for a network.
        '--heartbeat-interval=10',
        '--election-timeout=50',
        '--logger=zap',
        '--log-outputs=stderr',
      ],
    }),
    async probe(signal) {
      const socketPath = etcdSocket(paths.run);
      await probeHttp({ socketPath, method: 'POST', path: '/v3/kv/range', body: probeRead }, signal);
    },
  };
}
