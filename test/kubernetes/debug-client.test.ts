import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Condition } from '../../src/ipc/services/host.js';
import { logs } from '../../src/ipc/services/logs.js';
import { HamletError } from '../../src/lib/errors.js';
import { bundle } from '../../src/workers/certs/credentials.js';
import { certificate, newPki, startRemote } from '../mesh/debug-remote-fixture.js';
import { run } from '../node/support/hamlet.js';
import { goTree } from './go.js';

const client = fileURLToPath(new URL('../../../test/kubernetes/fixtures/debug-client.go', import.meta.url));
const timeoutMs = 600_000;

const ready: Condition = { name: 'NodeReady', status: 'false', reason: 'Starting', message: '', sinceMs: 0 };

/** In Go, with the gRPC that Kubernetes brings along and nothing of this project's. */
void t.test('a client that has never seen our proto', { timeout: timeoutMs }, async (t) => {
  const pki = await newPki();
  const { node, port } = await startRemote(t, pki, {
    condition({ name }) {
      if (name !== ready.name) throw new HamletError('NOT_FOUND', `there is no condition ${name}`);
      return ready;
    },
    async *conditions() {
      yield { conditions: [ready], snapshot: true };
    },
  });
  await node.serve('logs', logs, {
    async *tail({ component }) {
      const data = Buffer.from(`of ${component}`);
      yield { lines: [{ component, sequence: 1, atMs: 1, run: 1, source: 'stderr' as const, data }] };
    },
  });

  const tree = await goTree(t);
  // It has to lie within the tree for what it imports; an overlay leaves the tree as it is.
  const folder = t.testdirName;
  const overlay = path.join(folder, 'overlay.json');
  const program = path.join(folder, 'debug-client');
  const place = path.join(tree.folder, 'cmd/debug-client/main.go');
  writeFileSync(overlay, JSON.stringify({ Replace: { [place]: client } }));
  const built = await tree.build(['-overlay', overlay, '-o', program], 'cmd/debug-client');
  t.same(built, { code: 0, stdout: '', stderr: '' });

  const services = [
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
    'hamlet.debug.v1.NodeDebugService',
  ];
  const expected = [
    ...services.map((name) => `v1: service ${name}`),
    'line of kube.apiserver',
    ...services.map((name) => `v1alpha: service ${name}`),
    'health "": SERVING',
    'health "hamlet.debug.v1.NodeDebugService": SERVING',
    'health "NodeReady": NOT_SERVING',
    'health of nothing: rpc error: code = NotFound desc = there is no condition nosuch',
    'watched: NOT_SERVING',
    '',
  ].join('\n');
  const reader = path.join(folder, 'reader.pem');
  writeFileSync(reader, await certificate(pki, ['read']));
  const foreign = path.join(folder, 'foreign.pem');
  writeFileSync(foreign, (await certificate(await newPki(), ['admin'])) + bundle(pki, 'debug-ca'));
  const ask = (at: number, ...file: string[]) =>
    run(program, [`127.0.0.1:${at}`, 'kube.apiserver', 'NodeReady', ...file]);
  t.same(await ask(node.port), { code: 0, stdout: expected, stderr: '' }, 'on loopback');
  t.same(await ask(port, reader), { code: 0, stdout: expected, stderr: '' }, 'from another machine');
  t.match(await ask(port, foreign), { code: 1, stdout: '' }, "not with another node's certificate");
  t.match(await ask(port), { code: 1, stdout: '' }, 'nor without one');
});
