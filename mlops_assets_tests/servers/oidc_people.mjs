// An OpenID Connect issuer (npm: oidc-provider) at which people sign in: any name, no password.
// The roles of a person are parts of the name: "ann.science.decide".
// Hubs are on any port of this machine.
// Usage: node oidc_people.mjs PACKAGE_FOLDER PORT SECRET
import { pathToFileURL } from 'node:url';

const [folder, port, secret] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${folder}/lib/index.js`).href);

const client = (id, more) => ({
  client_id: id,
  grant_types: ['authorization_code'],
  response_types: ['code'],
  redirect_uris: ['http://127.0.0.1/signed-in'],
  post_logout_redirect_uris: ['http://127.0.0.1/sign-in'],
  ...more,
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client('hub/secret', { client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' }),
    client('hub-public', { token_endpoint_auth_method: 'none' }),
  ],
  cookies: { keys: ['not-a-secret-of-this-test'] },
  claims: { openid: ['sub', 'roles'] },
  conformIdTokenClaims: process.env.ROLES_IN === 'userinfo',
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, roles: id.split('.').slice(1) }),
  }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
});

const onThisMachine = (path) => (uri) => {
  const { hostname, pathname } = new URL(uri);
  return hostname === '127.0.0.1' && pathname === path;
};
provider.Client.prototype.redirectUriAllowed = onThisMachine('/signed-in');
provider.Client.prototype.postLogoutRedirectUriAllowed = onThisMachine('/sign-in');

provider.use(async (ctx, next) => {
  if (ctx.path === '/favicon.ico') {
    ctx.status = 204;
    return undefined;
  }
  if (!ctx.path.startsWith('/interaction/')) return next();
  if (ctx.method === 'GET') {
    ctx.type = 'html';
    ctx.body = `<!doctype html><title>Issuer</title><form method="post">
      <label>Name <input name="name"></label> <button>Continue</button></form>`;
    return undefined;
  }
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  const accountId = new URLSearchParams(Buffer.concat(chunks).toString()).get('name');
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId } });
  ctx.respond = false;
  return undefined;
});

provider.on('server_error', (ctx, error) => console.error(error));
provider.listen(Number(port), '127.0.0.1');
