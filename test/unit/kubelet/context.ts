import { upstreamRereads } from '../../../src/platform/components.js';
import { parseConfig } from '../../../src/platform/config.js';
import { features } from '../../../src/platform/kubernetes-versions.js';
import type { Machine } from '../../../src/platform/machine.js';
import type { Component, Context } from '../../../src/workers/kubelet/component.js';
import { allComponents } from '../../../src/workers/kubelet/components/index.js';
import { ImageImporter, type RunCommand } from '../../../src/workers/kubelet/images.js';
import { silent } from '../../mesh/fixtures/mesh.js';

export interface Choices {
  /** Of Kubernetes 1; 20 unless given. */
  readonly minor?: number;
  readonly settings?: object;
  readonly machine?: Partial<Machine>;
  readonly components?: Partial<Context['components']>;
}

const plainMachine: Machine = {
  address: '192.0.2.7',
  defaultInterface: 'eth0',
  mayRaiseLimits: true,
  cgroups: 'v2',
  cgroupDriver: 'cgroupfs',
  bridgeCallsIptables: true,
  apparmor: false,
  isEc2: false,
};

/** What the policy of every component is made from, for a release, a machine and a configuration. */
export function makeContext({
  minor = 20,
  settings = {},
  machine = {},
  components = {},
}: Choices = {}): Context {
  const version = { major: 1, minor, patch: 2, text: `v1.${minor}.2` };
  return {
    config: parseConfig({ paths: { state: '/state', run: '/run/node' }, ...settings }, 'test'),
    machine: { ...plainMachine, ...machine },
    node: { name: 'hamlet-1', address: '192.0.2.7' },
    features: features(version),
    components: {
      etcd: '/usr/bin/etcd',
      containerd: '/usr/bin/containerd',
      runc: '/usr/sbin/runc',
      ctr: '/usr/bin/ctr',
      kube: { kind: 'multicall', path: '/cache/kube' },
      kubernetesVersion: version,
      rereads: upstreamRereads,
      cniBinDir: '/usr/lib/cni',
      pauseImage: { archive: '/cache/pause.tar', ref: 'hamlet.internal/pause:3.2' },
      programs: {},
      ...components,
    },
  };
}

export function importer(context: Context, run: RunCommand): ImageImporter {
  return new ImageImporter(context, run, async () => [], silent);
}

/** All components by their names. */
export function policyOf(choices: Choices = {}): Readonly<Record<string, Component>> {
  const context = makeContext(choices);
  const images = importer(context, async () => ({ code: 0, output: '' }));
  const all = allComponents(context, () => undefined, images);
  return Object.fromEntries(all.map((component) => [component.name, component]));
}

/** A component's arguments, without the program itself. */
export function argumentsOf(name: string, choices: Choices = {}): readonly string[] {
  const component = policyOf(choices)[name];
  if (component === undefined) throw new Error(`there is no ${name}`);
  return component.command().argv.slice(name.startsWith('kube.') ? 2 : 1);
}
