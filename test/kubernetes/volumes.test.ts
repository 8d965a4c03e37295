import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../src/lib/time.js';
import { TestNode } from '../node/support/hamlet.js';
import { testImage, writeTestImage } from '../node/support/image.js';
import { podMounts, podVolumes, volumeObjects, volumeStats } from './volumes.js';

/** What an unpatched kubelet starts. */
const programs = ['mount', 'umount', 'du', 'find', 'nice', 'systemd-run'];
/** The kubelet looks for new pods' volumes once a minute. */
const statsTimeoutMs = 150_000;
const deletionTimeoutMs = 90_000;

void t.test('volumes of every supported type on a node whose PATH has no mount, du or find', async (t) => {
  const node = await TestNode.create();
  t.teardown(() => node.remove());
  const shared = path.join(node.folder, 'shared');
  const local = path.join(node.folder, 'local');
  for (const folder of [shared, local]) mkdirSync(folder);
  writeFileSync(path.join(shared, 'file'), 'of the host\n');
  writeFileSync(path.join(local, 'file'), 'of the disk\n');
  // What propagates has to be a mount that is shared.
  execFileSync('mount', ['--bind', '--make-shared', shared, shared]);
  t.teardown(() => void execFileSync('umount', ['--recursive', shared]));
  writeTestImage(path.join(node.imagesDir, 'busybox.tar'));

  node.start();
  await node.ready();
  const nodeName = (await node.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'])).trim();
  const bin = readdirSync(node.run.bin);
  t.same(
    programs.filter((name) => bin.includes(name)),
    [],
    'the PATH has none of the programs',
  );

  const objects = volumeObjects({ image: testImage, nodeName, shared, local });
  await node.kubectl(['create', '-f', '-'], { input: JSON.stringify(objects) });
  for (const name of ['volumes', 'propagation']) await node.waitForPod(name);
  const uid = await node.kubectl(['get', 'pod', 'volumes', '-o', 'jsonpath={.metadata.uid}']);
  const sh = (pod: string, script: string) => node.kubectl(['exec', pod, '--', 'sh', '-c', script]);

  await t.test('each volume has its content', async (t) => {
    const expected = {
      '/config/key': 'of the config\n',
      '/secret/key': 'of the secret\n',
      '/projected/config': 'of the config\n',
      '/projected/secret': 'of the secret\n',
      '/projected/name': 'volumes',
      '/downward/name': 'volumes',
      '/host/file': 'of the host\n',
      '/claim/file': 'of the disk\n',
      '/config-file': 'of the config\n',
      '/disk/folder/file': 'through a subPath\n',
    };
    await sh('volumes', 'echo through a subPath > /folder/file');
    for (const [file, content] of Object.entries(expected)) {
      t.equal(await sh('volumes', `cat ${file}`), content, file);
    }
    t.match(await sh('volumes', 'cat /projected/token'), /^ey/, 'a service account token');
  });

  await t.test('mounts have the options that were asked for', async (t) => {
    const mounts = await sh('volumes', 'cat /proc/mounts');
    t.match(mounts, / \/memory tmpfs rw/, 'an emptyDir in memory');
    for (const point of ['/disk-read-only', '/config', '/claim-read-only', '/folder-read-only']) {
      t.match(mounts, new RegExp(` ${point} \\S+ ro[, ]`), `${point} is read-only`);
      const { code, stderr } = await node.dbg(['kubectl', 'exec', 'volumes', '--', 'touch', `${point}/new`]);
      t.not(code, 0);
      t.match(stderr, /Read-only file system/);
    }
    const secret = podMounts(uid).find(({ point }) => point.endsWith('/volumes/kubernetes.io~secret/secret'));
    t.equal(secret?.type, 'tmpfs', 'a secret never reaches the disk');
  });

  await t.test('mounts propagate as they should', async (t) => {
    const fromHost = path.join(shared, 'from-host');
    mkdirSync(fromHost);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', fromHost]);
    writeFileSync(path.join(fromHost, 'file'), 'mounted later\n');
    t.equal(await sh('volumes', 'cat /host/from-host/file'), 'mounted later\n', 'HostToContainer');
    t.notOk((await sh('volumes', 'ls /host-private/from-host')).includes('file'), 'none');
    await sh(
      'propagation',
      'mkdir /host/from-pod && mount -t tmpfs x /host/from-pod && echo pod > /host/from-pod/file',
    );
    t.equal(
      readFileSync(path.join(shared, 'from-pod/file'), 'utf8'),
      'pod\n',
      'Bidirectional reaches the host',
    );
    t.equal(await sh('volumes', 'cat /host/from-pod/file'), 'pod\n', 'and from there another pod');
  });

  await t.test('the figures of /stats/summary are those of du and find', async (t) => {
    // Some of everything that a measurement can count wrongly.
    for (const volume of ['disk', 'memory']) {
      await sh(
        'volumes',
        `cd /${volume} && mkdir -p a/b && dd if=/dev/urandom of=a/b/data bs=1000 count=300 2>&1 && ln a/b/data link && ` +
          'ln -s a symlink && dd if=/dev/zero of=sparse bs=1 count=1 seek=50000000 2>&1 && sync',
      );
    }
    const folders = podVolumes(node.folder, uid);
    t.ok(folders.size >= 6, [...folders.keys()].join(', '));
    const expected = new Map([...folders].map(([name, folder]) => [name, usageByPrograms(folder)]));
    await poll(
      async () => {
        const stats = await volumeStats(node, nodeName, 'volumes');
        const isSame = [...expected].every(
          ([name, { bytes, inodes }]) =>
            stats.get(name)?.usedBytes === bytes && stats.get(name)?.inodesUsed === inodes,
        );
        return isSame || undefined;
      },
      { everyMs: 2_000, timeoutMs: statsTimeoutMs, what: 'the figures of du and find' },
    ).catch(async (error: unknown) => {
      const stats = await volumeStats(node, nodeName, 'volumes');
      t.comment({ expected: [...expected], stats: [...stats] });
      throw error;
    });
    t.pass(`of ${[...expected.keys()].join(', ')}`);
  });

  await t.test('deletion leaves no mount and no folder', async (t) => {
    const uids = (await node.kubectl(['get', 'pods', '-o', 'jsonpath={.items[*].metadata.uid}'])).split(' ');
    t.not(podMounts(uid).length, 0, 'there were mounts');
    await node.kubectl(['delete', 'pods', '--all']);
    await poll(() => uids.every((one) => !existsSync(path.join(podsFolder(node), one))) || undefined, {
      everyMs: 200,
      timeoutMs: deletionTimeoutMs,
      what: 'the end of the pods’ folders',
    });
    t.same(uids.flatMap(podMounts), []);
  });

  const { stdout } = await node.dbg(['logs', 'kube.kubelet', '--tail', '5000']);
  t.notMatch(stdout, /executable file not found|failed command|exec: "/, 'the kubelet missed no program');
});

function podsFolder(node: TestNode): string {
  return path.join(node.folder, 'state/kubelet/pods');
}

function usageByPrograms(folder: string): { bytes: number; inodes: number } {
  const options = { encoding: 'utf8' } as const;
  const du = execFileSync('du', ['-x', '-s', '-B', '1', folder], options);
  return {
    bytes: Number.parseInt(du, 10),
    inodes: execFileSync('find', [folder, '-xdev', '-printf', '.'], options).length,
  };
}
