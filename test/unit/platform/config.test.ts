import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { HamletError } from '../../../src/lib/errors.js';
import { defaultConfigFile, loadConfig, parseConfig } from '../../../src/platform/config.js';

/** What parseConfig says is wrong, without the file's name. */
function problems(settings: unknown): readonly string[] {
  try {
    parseConfig(settings, 'node.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof HamletError) || error.code !== 'INVALID_ARGUMENT') throw error;
    return error.details.problems as readonly string[];
  }
}

void t.test('nothing but defaults makes a whole configuration, and plain data', async (t) => {
  for (const nothing of [undefined, null, {}]) {
    const config = parseConfig(nothing, 'node.yaml');
    t.match(config, {
      layout: 'default',
      node: {},
      ports: { debug: 7837, apiserver: 6443, kubelet: 10_250 },
      network: { podCidr: '10.244.0.0/24', serviceCidr: '10.96.0.0/16', clusterDns: ['10.96.0.10'] },
      kubeProxy: { enabled: true },
      paths: { state: '/var/lib/hamlet', run: '/run/hamlet' },
      imagesDir: '/var/lib/hamlet/images',
    });
    t.same(structuredClone(config), config, 'it can be handed to a worker thread');
  }
});

void t.test('what is set is taken, and what follows from it follows', async (t) => {
  const config = parseConfig(
    {
      paths: { state: '/srv/node', run: '/run/node/' },
      node: { address: '192.0.2.7' },
      ports: { debug: 7900 },
      network: { serviceCidr: '10.97.16.0/20' },
      kubeProxy: { enabled: false },
    },
    'node.yaml',
  );
  t.match(config, {
    paths: { state: '/srv/node', run: '/run/node', etcd: '/srv/node/etcd' },
    imagesDir: '/srv/node/images',
    node: { address: '192.0.2.7' },
    ports: { debug: 7900, apiserver: 6443 },
    network: { clusterDns: ['10.97.16.10'], clusterDomain: 'cluster.local' },
    kubeProxy: { enabled: false },
  });
  const chosen = parseConfig({ network: { clusterDns: [] }, images: { dir: '/srv/images' } }, 'node.yaml');
  t.same(chosen.network.clusterDns, []);
  t.equal(chosen.imagesDir, '/srv/images');
});

void t.test('the cache comes from the environment first', async (t) => {
  const before = process.env.HAMLET_CACHE_DIR;
  t.teardown(() => {
    if (before === undefined) delete process.env.HAMLET_CACHE_DIR;
    else process.env.HAMLET_CACHE_DIR = before;
  });
  const cacheDir = () =>
    parseConfig({ components: { cacheDir: '/srv/cache' } }, 'node.yaml').components.cacheDir;
  process.env.HAMLET_CACHE_DIR = '/tmp/cache';
  t.equal(cacheDir(), '/tmp/cache');
  process.env.HAMLET_CACHE_DIR = '';
  t.equal(cacheDir(), '/srv/cache', 'an empty variable is none');
  delete process.env.HAMLET_CACHE_DIR;
  t.equal(cacheDir(), '/srv/cache');
});

const port = 'has to be a port, a whole number from 1 to 65535';
const groups = 'layout, paths, node, ports, network, kubeProxy, components, images, logs, pki, debug';

/** Each wrong setting, and the sentence that a person gets to read. */
const wrong: readonly (readonly [unknown, string | RegExp])[] = [
  [{ port: 1 }, `port: there is no such setting; there are ${groups}`],
  [{ node: { adress: '192.0.2.7' } }, 'node.adress: there is no such setting; there are address'],
  [{ kubeProxy: { enable: true } }, 'kubeProxy.enable: there is no such setting; there are enabled'],
  [
    { pki: { ttl: '1h' } },
    'pki.ttl: there is no such setting; there are caTtl, leafTtl, debugTtl, debugTtlMax, secretsKeyTtl',
  ],
  [{ logs: { maxDiskMb: 4 } }, /^logs\.maxDiskMb: .* from 8 to 65536, or 0 .*, not 4$/],
  ['ports', 'the whole file: has to be a group of settings, not "ports"'],
  [7837, 'the whole file: has to be a group of settings, not 7837'],
  [{ ports: 7837 }, 'ports: has to be a group of settings, not 7837'],
  [{ ports: null }, 'ports: has to be a group of settings, and there is nothing'],
  [{ ports: { debug: '7837' } }, `ports.debug: ${port}, not "7837"`],
  [{ ports: { debug: 0 } }, `ports.debug: ${port}, not 0`],
  [{ ports: { debug: 65_536 } }, `ports.debug: ${port}, not 65536`],
  [{ ports: { debug: -0.5 } }, `ports.debug: ${port}, not -0.5`],
  [{ ports: { debug: [1] } }, `ports.debug: ${port}, not a list`],
  [{ ports: { debug: { a: 1 } } }, `ports.debug: ${port}`],
  [{ layout: 'big' }, 'layout: has to be "default" or "appliance", not "big"'],
  [{ kubeProxy: { enabled: 'yes' } }, 'kubeProxy.enabled: has to be true or false, not "yes"'],
  [{ paths: { state: 'data' } }, 'paths.state: has to be an absolute path, not "data"'],
  [{ node: { address: '::1' } }, 'node.address: has to be an IPv4 address, not "::1"'],
  [{ network: { clusterDns: '10.96.0.10' } }, 'network.clusterDns: has to be a list, not "10.96.0.10"'],
  [{ network: { clusterDns: ['dns'] } }, 'network.clusterDns.0: has to be an IPv4 address, not "dns"'],
  [{ network: { bridge: 'a-very-long-name' } }, /^network\.bridge: has to be the name of an interface/],
  [{ network: { clusterDomain: 'Cluster Local' } }, /^network\.clusterDomain: has to be a domain name/],
  [
    { network: { podCidr: '10.244.0.5/24' } },
    /^network\.podCidr: has to be an IPv4 range .*, not "10\.244\.0\.5\/24"$/,
  ],
  [{ network: { podCidr: '10.244.0.0/31' } }, /^network\.podCidr: .* \/8 to \/30/],
  [{ network: { serviceCidr: '10.0.0.0/8' } }, /^network\.serviceCidr: .* \/12 to \/28/],
];

void t.test('each wrong setting is named, with what would be right and what there is', async (t) => {
  for (const [settings, sentence] of wrong) {
    const found = problems(settings);
    t.equal(found.length, 1, JSON.stringify(settings));
    if (typeof sentence === 'string') t.equal(found[0], sentence);
    else t.match(found[0], sentence);
  }
});

void t.test('settings that do not go together are named', async (t) => {
  t.same(problems({ ports: { debug: 10_250 } }), ['ports.kubelet: 10250 is ports.debug already']);
  t.same(problems({ network: { podCidr: '10.96.4.0/24' } }), [
    'network.serviceCidr: 10.96.0.0/16 overlaps network.podCidr, 10.96.4.0/24',
  ]);
  t.same(problems({ node: { address: '10.244.0.9' } }), [
    'node.address: 10.244.0.9 lies in network.podCidr, 10.244.0.0/24',
  ]);
  const longest = `/${'x'.repeat(73)}`;
  t.same(problems({ paths: { run: longest } }), []);
  t.same(problems({ paths: { run: `${longest}x` } }), [
    "paths.run: has to be 74 bytes at most: it is part of the sockets' names",
  ]);
});

void t.test('all that is wrong is told at once, a line each', async (t) => {
  t.throws(() => parseConfig({ ports: { debug: 0 }, layout: 'big' }, 'node.yaml'), {
    code: 'INVALID_ARGUMENT',
    message: `node.yaml:\n  layout: has to be "default" or "appliance", not "big"\n  ports.debug: ${port}, not 0`,
  });
  t.throws(() => parseConfig({ layout: 1 }, 'node.yaml'), { message: /^node\.yaml: layout: has to be/ });
});

void t.test('the file is read, and one that cannot be is named', async (t) => {
  const file = path.join(t.testdir(), 'node.yaml');
  await t.rejects(loadConfig(file), {
    code: 'NOT_FOUND',
    message: `the configuration ${file} cannot be read`,
  });
  writeFileSync(file, '# nothing is set\n');
  t.same(await loadConfig(file), parseConfig({}, file));
  writeFileSync(file, 'ports: { debug: 7900 }\n');
  t.equal((await loadConfig(file)).ports.debug, 7900);
  writeFileSync(file, 'ports: { debug: 0 }\n');
  await t.rejects(loadConfig(file), {
    code: 'INVALID_ARGUMENT',
    message: `${file}: ports.debug: ${port}, not 0`,
  });
  for (const text of ['ports: [', 'a: 1\na: 2\n', '\tports: 1\n']) {
    writeFileSync(file, text);
    await t.rejects(loadConfig(file), {
      code: 'INVALID_ARGUMENT',
      message: `${file} is not valid YAML`,
      cause: { message: /line \d/ },
    });
  }
  t.equal(defaultConfigFile, '/etc/hamlet/config.yaml');
});
