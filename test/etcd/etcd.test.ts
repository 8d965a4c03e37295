import { existsSync, mkdirSync, statSync } from 'node:fs';
import t from 'tap';
import { etcdSocket, runPaths } from '../../src/platform/paths.js';
import { etcd } from '../../src/workers/kubelet/components/etcd.js';
import { ComponentProcess, contextHere } from '../node/component-process.js';

void t.test('etcd answers a linearizable read on a socket that only root can reach', async (t) => {
  const context = contextHere(t);
  const { run, etcd: data } = context.config.paths;
  // A folder that is there already is not left open.
  mkdirSync(runPaths(run).etcd, { recursive: true, mode: 0o755 });
  const process = new ComponentProcess(t, etcd(context));
  await process.start();
  await process.healthy();
  t.equal(statSync(runPaths(run).etcd).mode & 0o777, 0o700);
  t.equal(statSync(data).mode & 0o777, 0o700);

  await process.suspend();
  t.equal(await process.probe(300), 'no answer: not within 300 ms');
  process.signal('SIGCONT');
  t.equal(await process.probe(), undefined);
});

void t.test('one that was killed starts again on its socket', async (t) => {
  const context = contextHere(t);
  const process = new ComponentProcess(t, etcd(context));
  await process.start();
  await process.healthy();
  await process.end('SIGKILL');
  t.ok(existsSync(etcdSocket(context.config.paths.run)), 'which is still there');
  t.match(await process.probe(), /no answer: .*ECONNREFUSED/);
  await process.start();
  await process.healthy();
  await process.end();
});
