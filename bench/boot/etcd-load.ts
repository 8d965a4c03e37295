import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { poll } from '../../src/lib/time.js';
import type { Component } from '../../src/workers/kubelet/component.js';

/**
 * Starts another API server of a node on an etcd with a copy of its data: a process that serves one has more to give back
 * at its end, and one that loses it is busy at once. `apiserver` is the component with ports of its own.
 */
export async function startApiServer(apiserver: Component, etcdSocket: string): Promise<ChildProcess> {
  const { argv, cwd } = apiserver.command();
  const [file, ...args] = argv.map((word) =>
    word.startsWith('--etcd-servers=') ? `--etcd-servers=unix:///${etcdSocket}` : word,
  );
  const port = Number(args.find((word) => word.startsWith('--secure-port='))?.split('=')[1]);
  const process = spawn(file ?? '', args, { cwd, stdio: 'ignore' });
  await poll(() => isListening(port), {
    everyMs: 50,
    timeoutMs: 60_000,
    what: 'the second API server',
  });
  return process;
}

function isListening(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => end(true)).on('error', () => end(undefined));
    const end = (answer: true | undefined) => {
      socket.destroy();
      resolve(answer);
    };
  });
}
