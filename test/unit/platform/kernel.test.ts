import { rmSync } from 'node:fs';
import { release } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { missingKernelFeatures } from '../../../src/platform/kernel.js';

const namespaces = Object.fromEntries(
  ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'].map((name) => [name, '']),
);

/** A machine whose kernel says nothing of its features: cgroup v2, all namespaces. */
const tree = () => ({
  proc: { filesystems: 'nodev\tsysfs\n\text4\n', self: { ns: { ...namespaces }, mountinfo: '' } },
  sys: { module: {}, fs: { cgroup: { 'cgroup.controllers': 'cpuset cpu io memory pids\n' } } },
  modules: {},
  boot: {},
});

const sourcesIn = (root: string) => ({
  proc: path.join(root, 'proc'),
  sys: path.join(root, 'sys'),
  modules: path.join(root, 'modules'),
  boot: path.join(root, 'boot'),
});

void t.test('what nothing tells of counts as there', async (t) => {
  t.same(missingKernelFeatures(sourcesIn(t.testdir(tree()))), []);
});

void t.test('the configuration has the last word, a module on the disk the one before', async (t) => {
  const config = [
    'CONFIG_OVERLAY_FS=m',
    'CONFIG_BRIDGE=y',
    '# CONFIG_VETH is not set',
    'CONFIG_NF_TABLES=m',
    'CONFIG_NF_TABLES_INET=y',
  ].join('\n');
  const modules = { 'modules.dep': 'kernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko.xz\n' };
  const described = { ...tree(), modules, boot: { [`config-${release()}`]: config } };
  const expected = [/^overlayfs/, /^veth/];
  const found = missingKernelFeatures(sourcesIn(t.testdir(described)));
  t.equal(found.length, 2);
  t.match(
    found,
    expected,
    'a module that the configuration promises and the disk does not have is missing too',
  );

  const root = t.testdir({ ...described, boot: {} });
  writeFileSync(path.join(root, 'proc/config.gz'), gzipSync(config));
  t.match(missingKernelFeatures(sourcesIn(root)), expected, 'also from /proc/config.gz');

  const loaded = tree();
  const running = {
    ...described,
    proc: { ...loaded.proc, filesystems: 'nodev\toverlay\n' },
    sys: { ...loaded.sys, module: { veth: {} } },
  };
  t.same(missingKernelFeatures(sourcesIn(t.testdir(running))), [], 'what is loaded is there');
});

void t.test('namespaces and cgroup controllers', async (t) => {
  const root = t.testdir(tree());
  rmSync(path.join(root, 'proc/self/ns/pid'));
  writeFileSync(path.join(root, 'sys/fs/cgroup/cgroup.controllers'), 'cpu pids\n');
  t.same(missingKernelFeatures(sourcesIn(root)), ['pid namespaces', 'the memory cgroup controller']);
  writeFileSync(
    path.join(root, 'proc/self/mountinfo'),
    '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n',
  );
  t.same(missingKernelFeatures(sourcesIn(root)), ['pid namespaces'], 'mounted for v1');
});
