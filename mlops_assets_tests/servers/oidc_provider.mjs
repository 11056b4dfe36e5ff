// An OpenID Connect issuer (npm: oidc-provider) with a client whose secret goes into the header,
// and one whose secret goes into the form.
// Usage: node oidc_provider.mjs PACKAGE_FOLDER PORT SECRET SECONDS
import { pathToFileURL } from 'node:url';

const [folder, port, secret, seconds] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${folder}/lib/index.js`).href);

const client = (method) => ({
  client_id: method,
  client_secret: secret,
  token_endpoint_auth_method: method,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client('client_secret_basic'), client('client_secret_post')],
  clientAuthMethods: [process.env.AUTH_METHOD],
  scopes: ['records'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  ttl: { ClientCredentials: Number(seconds) },
});
provider.listen(Number(port), '127.0.0.1');
