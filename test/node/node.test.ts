import { spawn } from 'node:child_process';
import http from 'node:http';
import { availableParallelism, getPriority } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { componentNames } from '../../src/lib/names.js';
import { poll } from '../../src/lib/time.js';
import { freePorts, TestNode } from './support/hamlet.js';
import { testImage, writeTestImage } from './support/image.js';
import { compareSnapshots, machineSnapshot } from './support/machine-snapshot.js';
import { childrenOf, nicesOf, programOf } from './support/processes.js';

const counter = 'i=0; while true; do i=$((i+1)); echo "line $i"; sleep 1; done';

/** One real node, brought through its life from an empty state to its reset; each step needs those before it. */
void t.test('a node from its first start to its reset', async (t) => {
  const before = machineSnapshot();
  const node = await TestNode.create();
  t.teardown(() => node.remove());
  writeTestImage(path.join(node.imagesDir, 'busybox.tar'));

  node.start();
  t.comment(`NodeReady from empty state after ${Math.round(await node.ready())} ms`);
  const nodeName = (await node.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'])).trim();
  t.match(nodeName, /^hamlet-[0-9a-f]{32}$/, 'one node, named after its key');

  await t.test('every condition holds', async (t) => {
    for (const name of [
      'IPAssigned',
      'DataAvailable',
      'PKIReady',
      'APIServerReady',
      'BuiltinsReady',
      'NodeReady',
    ]) {
      const { code, stdout } = await node.dbg(['condition', name]);
      t.equal(code, 0, `${name}: ${stdout.trim()}`);
    }
    for (const name of componentNames) t.equal((await node.dbg(['condition', name])).code, 0, name);
    const unknown = await node.dbg(['condition', 'nosuch']);
    t.equal(unknown.code, 1);
    t.match(unknown.stderr, /NodeReady/, 'an unknown one says what exists');
  });

  await t.test('dbg kubectl create: a pod that counts', async (t) => {
    await node.kubectl(['create', '-f', '-'], { input: pod('counter', ['sh', '-c', counter]) });
    await node.waitForPod('counter');
    const lines = await poll(
      async () => {
        const found = (await node.kubectl(['logs', 'counter'])).split('\n').filter(Boolean);
        return found.length >= 3 ? found : undefined;
      },
      { everyMs: 200, timeoutMs: 20_000, what: 'three lines of the pod' },
    );
    t.same(
      lines,
      lines.map((_, index) => `line ${index + 1}`),
      'kubectl logs has every line, in order',
    );
  });

  await t.test('Hamlet goes before its components and pods', async (t) => {
    t.equal(getPriority(node.pid), -15, 'its main thread');
    const children = childrenOf(node.pid);
    t.ok(children.length >= componentNames.length);
    for (const pid of children) t.same(nicesOf(pid), new Set([0]), programOf(pid));
    // The 19th field (proc(5)); the second one, the program's name, has no spaces here.
    const stat = await node.kubectl(['exec', 'counter', '--', 'cat', '/proc/1/stat']);
    t.equal(stat.split(' ')[18], '0', 'in a pod');
  });

  await t.test('dbg kubectl passes on what kubectl does', async (t) => {
    t.match(await node.kubectl(['exec', 'counter', '--', 'uname', '-a']), /^Linux counter /);
    const input = 'one\ntwo\n';
    t.equal(await node.kubectl(['exec', '-i', 'counter', '--', 'cat'], { input }), input, 'stdin');
    t.equal(
      (await node.dbg(['kubectl', 'exec', 'counter', '--', 'sh', '-c', 'exit 7'])).code,
      7,
      'exit code',
    );
    const description = await node.kubectl(['describe', 'node', nodeName]);
    t.match(description, /Ready\s+True/);
    const allocatable = `${availableParallelism() * 1_000 - 200}m`;
    t.match(description, new RegExp(`cpu:\\s+${allocatable}`), '200m of the CPUs are reserved');
  });

  await t.test('dbg kubectl port-forward carries a request', async (t) => {
    const web = [
      'sh',
      '-c',
      'mkdir -p /www && echo "$POD" > /www/index.html && exec httpd -f -p 8080 -h /www',
    ];
    for (const name of ['web-1', 'web-2']) {
      await node.kubectl(['create', '-f', '-'], { input: pod(name, web, { app: 'web' }) });
    }
    await Promise.all([node.waitForPod('web-1'), node.waitForPod('web-2')]);
    const [port = 0] = await freePorts(1);
    const forward = spawn(
      process.execPath,
      [dbgMain(), '--endpoint', node.endpoint, 'kubectl', 'port-forward', 'pod/web-1', `${port}:8080`],
      { stdio: 'ignore' },
    );
    t.teardown(async () => {
      forward.kill('SIGTERM');
      await poll(() => (forward.exitCode ?? forward.signalCode ?? undefined) !== undefined || undefined, {
        everyMs: 20,
        timeoutMs: 10_000,
        what: 'the end of port-forward',
      });
    });
    const body = await poll(() => get(port), {
      everyMs: 100,
      timeoutMs: 20_000,
      what: 'an answer through it',
    });
    t.equal(body.trim(), 'web-1');
  });

  await t.test("a Service's cluster IP answers from both pods behind it", async (t) => {
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    };
    await node.kubectl(['create', '-f', '-'], { input: JSON.stringify(service) });
    const ip = (await node.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}'])).trim();
    const seen = new Set<string>();
    await poll(
      async () => {
        seen.add(
          (await node.kubectl(['exec', 'counter', '--', 'wget', '-q', '-O', '-', `http://${ip}/`])).trim(),
        );
        return seen.size === 2 ? true : undefined;
      },
      { everyMs: 50, timeoutMs: 30_000, what: 'answers from both pods' },
    );
    t.same([...seen].sort(), ['web-1', 'web-2']);
  });

  await t.test("dbg logs gives a component's lines in order", async (t) => {
    const containerd = await node.dbg(['logs', 'containerd']);
    t.equal(containerd.code, 0);
    const times = [...containerd.stdout.matchAll(/^time="([^"]+)"/gm)].map((match) =>
      Date.parse(match[1] ?? ''),
    );
    t.ok(times.length > 10, `${times.length} lines with a time`);
    t.match(
      containerd.stdout.split('\n')[0],
      /starting containerd/,
      'the first line is the first that it wrote',
    );
    const tail = await node.dbg(['logs', '--tail', '5', 'kube.apiserver']);
    const whole = await node.dbg(['logs', 'kube.apiserver']);
    const lastFive = tail.stdout.trimEnd().split('\n');
    t.equal(lastFive.length, 5);
    t.ok(whole.stdout.includes(lastFive.join('\n')), 'the tail is a part of the whole');
    const unknown = await node.dbg(['logs', 'nosuch']);
    t.equal(unknown.code, 1);
    t.match(unknown.stderr, /kube\.apiserver/, 'an unknown component says what exists');
  });

  await t.test('the pod security policy', async (t) => {
    // Through a ServiceAccount: the person with the debug credentials may use every policy.
    const asServiceAccount = ['--as=system:serviceaccount:default:creator'];
    await node.kubectl(['create', 'serviceaccount', 'creator']);
    await node.kubectl([
      'create',
      'rolebinding',
      'creator',
      '--clusterrole=edit',
      '--serviceaccount=default:creator',
    ]);
    const create = (name: string, spec: object) =>
      node.dbg(['kubectl', ...asServiceAccount, 'create', '-f', '-'], {
        input: pod(name, ['sleep', '3600'], {}, spec),
      });
    const refused = await create('on-the-host', { hostNetwork: true });
    t.not(refused.code, 0, 'a pod on the host network is refused');
    t.match(refused.stderr, /hostNetwork|Host network/i, 'and told why');
    const admitted = await poll(
      async () => {
        const result = await create('modest', {});
        return result.code === 0 ? result : undefined;
      },
      { everyMs: 200, timeoutMs: 20_000, what: 'a pod without it is admitted' },
    );
    t.equal(admitted.code, 0);
  });

  await t.test('a deleted built-in object comes back', async (t) => {
    const uid = () =>
      node.kubectl(['get', 'clusterrole', 'hamlet:psp-default', '-o', 'jsonpath={.metadata.uid}']);
    const old = await uid();
    const selector = '--field-selector=metadata.name=hamlet:psp-default';
    const words = ['get', 'clusterrole', selector, '--watch', '--output-watch-events', '--no-headers'];
    const watch = spawn(process.execPath, [dbgMain(), '--endpoint', node.endpoint, 'kubectl', ...words], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const times = new Map<string, number>();
    // By lines: kubectl writes a line in pieces, which arrive as they like.
    createInterface(watch.stdout).on('line', (line) => {
      const event = /^(\w+)\s+hamlet:psp-default\b/.exec(line)?.[1];
      if (event !== undefined) times.set(event, performance.now());
    });
    t.teardown(() => watch.kill('SIGTERM'));
    await poll(() => times.has('ADDED') || undefined, { everyMs: 20, timeoutMs: 20_000, what: 'the watch' });
    times.clear();
    await node.kubectl(['delete', 'clusterrole', 'hamlet:psp-default']);
    const [deletedMs, addedMs] = await poll(
      () => {
        const [deleted, added] = [times.get('DELETED'), times.get('ADDED')];
        return deleted !== undefined && added !== undefined ? [deleted, added] : undefined;
      },
      { everyMs: 5, timeoutMs: 20_000, what: 'its end and its return' },
    );
    const goneMs = addedMs - deletedMs;
    t.comment(`hamlet:psp-default was gone for ${goneMs.toFixed(1)} ms`);
    t.not(await uid(), old, 'it is a new one');
  });

  await t.test('stop and second start: the same PKI, the same pod', async (t) => {
    const facts = async () => ({
      authorities: await node.kubectl(['config', 'view', '--raw', '-o', 'jsonpath={.clusters[0].cluster}']),
      nodeUid: await node.kubectl(['get', 'node', nodeName, '-o', 'jsonpath={.metadata.uid}']),
      pod: await node.kubectl([
        'get',
        'pod',
        'counter',
        '-o',
        'jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].containerID}',
      ]),
    });
    const old = await facts();
    t.equal(await node.stop('SIGTERM'), 0, 'SIGTERM ends it with exit code 0');
    node.start();
    t.comment(`NodeReady from kept state after ${Math.round(await node.ready())} ms`);
    t.same(await facts(), old, 'CAs, node, pod, container and its restart count are as they were');
  });

  await t.test('reset leaves the machine as it was', async (t) => {
    await node.stop('SIGTERM');
    const { code, stdout, stderr } = await node.reset();
    t.equal(code, 0, stdout + stderr);
    t.same(compareSnapshots(before, machineSnapshot()), []);
  });
});

/** A pod as kubectl takes it. */
function pod(name: string, command: readonly string[], labels: object = {}, spec: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'main',
          image: testImage,
          imagePullPolicy: 'Never',
          command,
          env: [{ name: 'POD', value: name }],
        },
      ],
      ...spec,
    },
  });
}

function dbgMain(): string {
  return new URL('../../bundle/cli/main.js', import.meta.url).pathname;
}

/** The body of http://127.0.0.1:PORT/; rejects when nobody answers. */
function get(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get({ port, host: '127.0.0.1', agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve(body));
      })
      .on('error', reject);
  });
}
