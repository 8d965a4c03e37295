import { client } from '../../ipc/client.js';
import { implement } from '../../ipc/server.js';
import { certs } from '../../ipc/services/certs.js';
import { host } from '../../ipc/services/host.js';
import { kubelet } from '../../ipc/services/kubelet.js';
import { logs } from '../../ipc/services/logs.js';
import { firstAddress } from '../../platform/addresses.js';
import { features } from '../../platform/kubernetes-versions.js';
import { containerdSocket } from '../../platform/paths.js';
import { NodeKeySealer } from '../../platform/sealer.js';
import type { State } from '../../supervision/state.js';
import { runWorker } from '../run.js';
import type { Context, KubeletData } from './component.js';
import { allComponents } from './components/index.js';
import { ImageImporter } from './images.js';
import { callCri, imageTags } from './cri.js';
import { KeptCredentials } from './kept-credentials.js';
import { masterCredentials } from './master.js';
import { followRenewals } from './renewals.js';
import { RestartReport } from './restart-report.js';
import { Supervisor } from './supervisor.js';

/** An archive may hold gigabytes, and the disk may be slow. */
const importTimeoutMs = 600_000;

void runWorker<KubeletData>('kubelet', ({ connection, data, signal, log }) => {
  const hostClient = client(connection, host);
  const certsClient = client(connection, certs);
  const { paths, network } = data.config;
  const context: Context = { ...data, features: features(data.components.kubernetesVersion) };
  const images = new ImageImporter(
    context,
    (argv, signal) => hostClient.run({ argv: [...argv], env: {} }, { signal, deadlineMs: importTimeoutMs }),
    async (signal) =>
      imageTags(await callCri(containerdSocket(paths.run), 'ImageService/ListImages', signal)),
    log,
  );
  const credentials = masterCredentials(certsClient, signal);

  const onState = (name: string, state: State) => {
    if (name === 'containerd' && state.kind === 'healthy') images.start(signal);
    if (name === 'kube.apiserver') void reportApiServer(state);
  };
  const reportApiServer = async (state: State) => {
    const ready = state.kind === 'healthy';
    const reason = ready ? '' : state.kind === 'starting' ? 'Starting' : 'NotHealthy';
    const message = ready ? 'answers /readyz' : `kube.apiserver is ${state.kind}`;
    const condition = { name: 'APIServerReady', status: ready ? 'true' : 'false', reason, message } as const;
    await hostClient.setConditions({ conditions: [condition] }, { signal });
  };

  const components = allComponents(context, credentials, images);
  const restarts = new RestartReport({
    host: hostClient,
    logs: client(connection, logs),
    open: data.openRestarts,
    needs: new Map(components.map(({ name, needs }) => [name, needs])),
    log,
    signal,
  });
  const kept = new KeptCredentials({
    folder: paths.state,
    sealer: new NodeKeySealer(data.sealingKey),
    facts: [data.node.name, data.node.address, firstAddress(network.serviceCidr), network.clusterDomain],
    now: Date.now,
  });
  const supervisor = new Supervisor({
    context,
    kept,
    restarts,
    components,
    host: hostClient,
    certs: certsClient,
    log,
    onState,
  });
  void followRenewals({
    components,
    stateFolder: paths.kubeletPki,
    kept,
    isStarting: (name) => supervisor.isStarting(name),
    restart: (name) => supervisor.restart(name),
    certs: certsClient,
    host: hostClient,
    log,
    signal,
  });
  const supervision = supervisor.run(signal);
  // Without the table of children there is nothing to supervise: the thread ends and a new one starts over.
  supervision.catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return {
    services: [implement(kubelet, { stop: async () => ({ killed: [...(await supervisor.stop())] }) })],
  };
});
