import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Child } from '../../src/ipc/services/host.js';
import { writeUpgrade } from '../../src/host/upgrade-file.js';
import { poll } from '../../src/lib/time.js';
import { isAlive } from '../../src/platform/process.js';
import { TestNode } from './support/hamlet.js';
import { testImage, writeTestImage } from './support/image.js';

void t.test('the components of a node outlive Hamlet', async (t) => {
  const node = await TestNode.create();
  t.teardown(() => node.remove());
  writeTestImage(path.join(node.imagesDir, 'busybox.tar'));
  const running = (): Pick<Child, 'name' | 'pid' | 'startTicks' | 'run'>[] =>
    node.components.map(({ name, pid, startTicks, run }) => ({ name, pid, startTicks, run }));
  const podFacts = () =>
    node.kubectl([
      'get',
      'pod',
      'counter',
      '-o',
      'jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].containerID}',
    ]);

  node.start();
  await node.ready();
  await node.kubectl(['create', '-f', '-'], { input: pod });
  await node.waitForPod('counter');
  const before = running();
  const podBefore = await podFacts();
  t.equal(before.length, 7, 'all components run');

  await t.test('killed and started again, it goes on with all of them', async (t) => {
    t.equal(await node.stop('SIGKILL'), null);
    for (const { name, pid, startTicks } of before) t.ok(isAlive(pid, startTicks), name);
    const pipe = openSync(path.join(node.run.pipes, 'etcd.stdout'), constants.O_WRONLY);
    for (let line = 1; line <= 100; line++) writeSync(pipe, `while nobody read ${line}\n`);
    closeSync(pipe);

    node.start();
    t.comment(`ready again after ${Math.round(await node.ready())} ms`);
    t.match(node.output, /goes on with what runs already: .*kube\.kubelet/);
    t.same(running(), before, 'the same processes in the same runs');
    t.equal(await podFacts(), podBefore, 'the pod has not noticed');
    const lines = await poll(
      async () => {
        const { stdout } = await node.dbg(['logs', 'etcd']);
        const found = stdout.split('\n').filter((line) => line.startsWith('while nobody read'));
        return found.length >= 100 ? found : undefined;
      },
      { everyMs: 100, timeoutMs: 10_000, what: 'the lines that were written meanwhile' },
    );
    t.same(
      lines,
      Array.from({ length: 100 }, (_, index) => `while nobody read ${index + 1}`),
    );
  });

  await t.test('a new version takes its place', async (t) => {
    const readyTimes = () => node.output.match(/The node is ready/g)?.length ?? 0;
    const readyAgain = (times: number) =>
      poll(() => readyTimes() >= times || undefined, {
        everyMs: 50,
        timeoutMs: 60_000,
        what: `a node that is ready for the ${times}. time`,
      });
    const result = await node.hamlet(['upgrade']);
    t.equal(result.code, 0, result.stdout + result.stderr);
    await readyAgain(2);
    process.kill(node.pid, 'SIGHUP');
    await readyAgain(3);
    const broken = path.join(node.folder, 'broken.js');
    writeFileSync(broken, `process.kill(process.pid, 'SIGSEGV'); setInterval(() => undefined, 1_000);`);
    writeUpgrade(node.run.upgrade, {
      program: { node: process.execPath, main: broken },
      outcome: null,
      message: '',
    });
    process.kill(node.pid, 'SIGHUP');
    await node.waitForOutput(/was killed by SIGSEGV; the version that ran before goes on/, 30_000);
    await readyAgain(4);
    t.same(running(), before, 'none of the components has been started again');
    t.equal(await podFacts(), podBefore);
  });

  await t.test('what is gone by then is started anew, and nothing else', async (t) => {
    await node.stop('SIGKILL');
    const pidOf = (name: string) => before.find((child) => child.name === name)?.pid ?? 0;
    process.kill(pidOf('kube.scheduler'), 'SIGKILL');
    process.kill(pidOf('kube.controller-manager'), 'SIGKILL');
    node.start();
    await node.waitForOutput(/\n/, 20_000);
    node.closeOutput();
    const restarted = ['kube.controller-manager', 'kube.scheduler'];
    const runs = await poll(
      () => {
        const now = running();
        const second = now.filter(({ run }) => run === 2).map(({ name }) => name);
        return second.length >= restarted.length ? now : undefined;
      },
      { everyMs: 100, timeoutMs: 60_000, what: 'a second run of both' },
    );
    await poll(async () => (await node.dbg(['condition', 'NodeReady'])).code === 0 || undefined, {
      everyMs: 200,
      timeoutMs: 60_000,
      what: 'a ready node whose output nobody reads',
    });
    t.same(
      runs
        .filter(({ run }) => run === 2)
        .map(({ name }) => name)
        .sort(),
      restarted,
    );
    t.equal(await podFacts(), podBefore);
  });

  await t.test('the history knows of all that', async (t) => {
    const { stdout } = await node.dbg(['history', '-o', 'json']);
    const restarts = JSON.parse(stdout) as {
      name: string;
      kind: string;
      signal?: string;
      healthy: string | null;
    }[];
    t.match(restarts[0], { name: 'hamlet', kind: 'lost' });
    t.match(
      restarts.find(({ name, signal }) => name === 'hamlet' && signal === 'SIGSEGV'),
      {
        kind: 'killed',
        message: /broken\.js could not take over: it was killed by SIGSEGV; .*etcd.* went on/,
      },
    );
    t.match(
      restarts.find(({ name }) => name === 'kube.scheduler'),
      { kind: 'lost' },
    );
    process.kill(running().find(({ name }) => name === 'etcd')?.pid ?? 0, 'SIGKILL');
    const etcd = await poll(
      async () => {
        const result = await node.dbg(['history', '-o', 'json', 'etcd']);
        const [last] = JSON.parse(result.stdout) as typeof restarts;
        return last?.healthy == null ? undefined : last;
      },
      { everyMs: 200, timeoutMs: 30_000, what: 'etcd in the history' },
    );
    t.match(etcd, { name: 'etcd', kind: 'lost', waitedFor: [] }, 'it was adopted: how it ended is not known');
    t.comment((await node.dbg(['history', 'etcd'])).stdout);
  });

  await t.test('a part of a record is not believed: what it does not tell of is ended', async (t) => {
    const file = node.run.children;
    const left = running();
    await node.stop('SIGKILL');
    const whole = readFileSync(file, 'utf8');
    const fd = openSync(file, constants.O_WRONLY | constants.O_TRUNC);
    writeSync(fd, whole.slice(0, whole.length / 2));
    closeSync(fd);
    node.start();
    await node.ready();
    for (const { name, pid, startTicks } of left) t.notOk(isAlive(pid, startTicks), name);
    t.equal(await podFacts(), podBefore, 'containers outlive even that');
  });
});

const pod = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'counter' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'main',
        image: testImage,
        imagePullPolicy: 'Never',
        command: ['sh', '-c', 'while true; do sleep 1; done'],
      },
    ],
  },
});
