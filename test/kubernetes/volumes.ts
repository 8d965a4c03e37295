import { readdirSync } from 'node:fs';
import path from 'node:path';
import { listMounts, type Mount } from '../../src/host/mounts.js';
import type { TestNode } from '../node/support/hamlet.js';

export interface VolumeOptions {
  readonly image: string;
  readonly nodeName: string;
  /** A folder of the host that is a shared mount. */
  readonly shared: string;
  /** A folder of the host for a persistent volume. */
  readonly local: string;
}

/** A list of objects: two pods, `volumes` and `propagation`, and everything that they mount. */
export function volumeObjects({ image, nodeName, shared, local }: VolumeOptions): object {
  const name = { fieldRef: { fieldPath: 'metadata.name' } };
  const config = { name: 'config', items: [{ key: 'key', path: 'config' }] };
  const secret = { name: 'secret', items: [{ key: 'key', path: 'secret' }] };
  const volumes = [
    { name: 'config', configMap: { name: 'config' } },
    { name: 'secret', secret: { secretName: 'secret' } },
    { name: 'downward', downwardAPI: { items: [{ path: 'name', ...name }] } },
    {
      name: 'projected',
      projected: {
        sources: [
          { configMap: config },
          { secret },
          { downwardAPI: { items: [{ path: 'name', ...name }] } },
          { serviceAccountToken: { path: 'token', expirationSeconds: 3_600 } },
        ],
      },
    },
    { name: 'disk', emptyDir: {} },
    { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
    { name: 'host', hostPath: { path: shared, type: 'Directory' } },
    { name: 'claim', persistentVolumeClaim: { claimName: 'claim' } },
  ];
  const mounts = [
    ...['config', 'secret', 'downward', 'projected', 'disk', 'memory', 'claim'].map((volume) => ({
      name: volume,
      mountPath: `/${volume}`,
    })),
    { name: 'disk', mountPath: '/disk-read-only', readOnly: true },
    { name: 'disk', mountPath: '/folder', subPath: 'folder' },
    { name: 'disk', mountPath: '/folder-read-only', subPath: 'folder', readOnly: true },
    { name: 'claim', mountPath: '/claim-read-only', readOnly: true },
    { name: 'config', mountPath: '/config-file', subPath: 'key' },
    { name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
    { name: 'host', mountPath: '/host-private' },
  ];
  const metadata = { name: 'volumes-test' };
  const storage = { storageClassName: 'local', accessModes: ['ReadWriteOnce'] };
  const hostnames = { key: 'kubernetes.io/hostname', operator: 'In', values: [nodeName] };
  return list([
    // The built-in policy allows neither hostPath nor privileged pods.
    {
      apiVersion: 'policy/v1beta1',
      kind: 'PodSecurityPolicy',
      metadata,
      spec: {
        privileged: true,
        allowPrivilegeEscalation: true,
        volumes: ['*'],
        ...Object.fromEntries(
          ['runAsUser', 'seLinux', 'supplementalGroups', 'fsGroup'].map((rule) => [
            rule,
            { rule: 'RunAsAny' },
          ]),
        ),
      },
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'config' }, data: { key: 'of the config\n' } },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'secret' },
      stringData: { key: 'of the secret\n' },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata,
      spec: {
        ...storage,
        capacity: { storage: '1Gi' },
        local: { path: local },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [hostnames] }] } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'claim' },
      spec: { ...storage, resources: { requests: { storage: '1Gi' } } },
    },
    pod('volumes', image, { volumeMounts: mounts }, volumes),
    pod(
      'propagation',
      image,
      {
        securityContext: { privileged: true },
        volumeMounts: [{ name: 'host', mountPath: '/host', mountPropagation: 'Bidirectional' }],
      },
      volumes.filter((volume) => volume.name === 'host'),
    ),
  ]);
}

/** Objects as one that `kubectl create` takes. */
export function list(items: readonly object[]): object {
  return { apiVersion: 'v1', kind: 'List', items };
}

/** A pod that waits to be deleted. */
export function pod(name: string, image: string, container: object, volumes: readonly object[]): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'main', image, imagePullPolicy: 'Never', command: ['sleep', '1000000'], ...container },
      ],
      volumes,
    },
  };
}

/** The mounts below a pod's folder. */
export function podMounts(uid: string): Mount[] {
  return listMounts().filter(({ point }) => point.includes(`/pods/${uid}/`));
}

/** Where a pod's volumes lie, by their names, as far as the kubelet measures them by walking. */
export function podVolumes(nodeFolder: string, uid: string): Map<string, string> {
  const root = path.join(nodeFolder, 'state/kubelet/pods', uid, 'volumes');
  const folders = new Map<string, string>();
  for (const plugin of readdirSync(root).filter((name) => name !== 'kubernetes.io~local-volume')) {
    for (const name of readdirSync(path.join(root, plugin))) folders.set(name, path.join(root, plugin, name));
  }
  return folders;
}

export interface VolumeFigures {
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

interface Summary {
  readonly pods?: readonly {
    readonly podRef: { readonly name: string };
    readonly volume?: readonly (VolumeFigures & { readonly name: string })[];
  }[];
}

/** What the kubelet says in /stats/summary of a pod's volumes, by their names. */
export async function volumeStats(
  node: TestNode,
  nodeName: string,
  podName: string,
): Promise<Map<string, VolumeFigures>> {
  const text = await node.kubectl(['get', '--raw', `/api/v1/nodes/${nodeName}/proxy/stats/summary`]);
  const summary = JSON.parse(text) as Summary;
  const found = summary.pods?.find(({ podRef }) => podRef.name === podName);
  return new Map((found?.volume ?? []).map((volume) => [volume.name, volume]));
}
