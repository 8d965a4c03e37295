/** minimal-client ADDRESS: the call behind `dbg logs etcd`, by nothing but grpc-js and the message's codec. */
import { Client, credentials } from '@grpc/grpc-js';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';

const { path, requestSerialize, responseDeserialize } = nodeDebugService.getComponentLogs;
const client = new Client(process.argv[2] ?? '', credentials.createInsecure());
const request = { componentPath: ['etcd'], tailLines: 0 };
client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) => {
  if (error !== null || response === undefined) throw new Error('no answer', { cause: error });
  process.stdout.write(Buffer.concat(response.lines.flatMap((line) => [line, Buffer.from('\n')])));
  client.close();
});
