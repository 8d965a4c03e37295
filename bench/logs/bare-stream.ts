/** bare-stream PIPE: a grpc-js server that streams the lines of a pipe as they come, and nothing else; prints its port. */
import { constants, createReadStream, openSync } from 'node:fs';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { path as method, pass } from './bare-method.js';

const server = new Server();
server.addService(
  {
    stream: {
      path: method,
      requestStream: false,
      responseStream: true,
      requestSerialize: pass,
      requestDeserialize: pass,
      responseSerialize: pass,
      responseDeserialize: pass,
    },
  },
  {
    stream(call: ServerWritableStream<Buffer, Buffer>) {
      const fd = openSync(process.argv[2] ?? '', constants.O_RDWR);
      let rest = '';
      createReadStream('', { fd }).on('data', (chunk) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) call.write(Buffer.from(line));
      });
    },
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => console.log(port));
