import { createServer } from 'node:http';
import { OperatorError } from '../errors/errors.ts';
import { formatAddress } from '../ip/ip.ts';
import type { HealthOptions } from './options.ts';

/** Requests are tiny; whoever is slower than this holds a connection for nothing. */
const REQUEST_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 64;

/**
 * Serves `/healthz`: 200 while the packet workers run, 503 otherwise.
 * @returns what stops it.
 * @throws OperatorError `busy` where the port is taken, `host` where the address is not this host's.
 */
export async function startHealthServer(
  options: HealthOptions,
  isHealthy: () => boolean,
): Promise<() => Promise<void>> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    const known = request.url === '/healthz' && (request.method === 'GET' || request.method === 'HEAD');
    const status = known ? (isHealthy() ? 200 : 503) : 404;
    const text = { 200: 'flanneld is running', 503: 'flanneld forwards no packets', 404: 'see /healthz' }[status];
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${text}\n`);
  });
  server.maxConnections = MAX_CONNECTIONS;
  const host = formatAddress(options.address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const exit = error.code === 'EADDRINUSE' ? 'busy' : 'host';
      const flags = 'see --healthz-ip and --healthz-port';
      reject(new OperatorError(exit, `cannot serve /healthz on ${host} port ${options.port}: ${error.code}; ${flags}`));
    });
    server.listen({ host, port: options.port }, resolve);
  });
  // It must not keep the process alive, nor take it down later on.
  server.unref().on('error', () => {});
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}
