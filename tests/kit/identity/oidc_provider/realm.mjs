// The certified oidc-provider with the paths of a Keycloak realm, for tests.
// usage: node realm.mjs; writes one line of JSON when it listens, ends with its standard input.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const REALM = '/auth/realms/plg';
const OPENID = '/protocol/openid-connect';
const ACCESS = { plgridAccessServices: ['PLG_OTHER', 'PLG_YAPTIDE_ACCESS'] };
const USERS = {
  plgada: { password: 'ada-word', ...ACCESS },
  plgeve: { password: 'eve-word', ...ACCESS },
  plgbob: { password: 'bob-word', plgridAccessServices: ['PLG_OTHER'] },
  plgcarl: { password: 'carl-word' },
};
const REDIRECT = 'http://127.0.0.1:3000/';

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function client(id) {
  return {
    client_id: id,
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
}

function newProvider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [client('yaptide-ui'), client('some-other-app')],
    cookies: { keys: [randomUUID()] },
    claims: { openid: ['sub'], profile: ['preferred_username', 'plgridAccessServices'] },
    conformIdTokenClaims: false,
    routes: {
      authorization: `${OPENID}/auth`,
      token: `${OPENID}/token`,
      jwks: `${OPENID}/certs`,
      userinfo: `${OPENID}/userinfo`,
      end_session: `${OPENID}/logout`,
    },
    interactions: { url: (ctx, interaction) => `${REALM}/login/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:account',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'openid profile',
          audience: 'account',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    issueRefreshToken: () => true,
    extraTokenClaims: (ctx, token) => {
      const { password, ...claims } = USERS[token.accountId];
      return { preferred_username: token.accountId, azp: token.clientId, ...claims };
    },
    findAccount: (ctx, name) => ({
      accountId: name,
      claims: () => {
        const { password, ...claims } = USERS[name];
        return { sub: name, preferred_username: name, ...claims };
      },
    }),
    // nobody is asked for consent
    loadExistingGrant: async (ctx) => {
      const { provider, session, client: asking } = ctx.oidc;
      const known = session.grantIdFor(asking.clientId);
      if (known) return provider.Grant.find(known);
      const grant = new provider.Grant({ clientId: asking.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile');
      grant.addOIDCClaims(['preferred_username', 'plgridAccessServices']);
      grant.addResourceScope('urn:account', 'openid profile');
      await grant.save();
      return grant;
    },
  });
}

async function form(request) {
  let text = '';
  for await (const part of request) text += part;
  return new URLSearchParams(text);
}

const keys = [newKey()];
let provider;

async function answer(request, response) {
  if (request.method === 'POST' && request.url === '/rotate') {
    keys.unshift(newKey());
    provider = newProvider(provider.issuer, keys);
    response.end(JSON.stringify({ kid: keys[0].kid }));
  } else if (request.method === 'POST' && request.url.startsWith(`${REALM}/login/`)) {
    const given = await form(request);
    const known = USERS[given.get('username')];
    if (known?.password !== given.get('password')) {
      response.writeHead(401).end();
      return;
    }
    const result = { login: { accountId: given.get('username') } };
    await provider.interactionFinished(request, response, result);
  } else if (request.url.startsWith(`${REALM}/login/`)) {
    response.end('<form method="post"><input name="username"><input name="password"></form>');
  } else if (request.url.startsWith(`${REALM}/`)) {
    request.originalUrl = request.url;
    request.url = request.url.slice(REALM.length);
    provider.callback()(request, response);
  } else {
    response.writeHead(404).end();
  }
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  provider = newProvider(`${url}${REALM}`, keys);
  console.log(JSON.stringify({ url }));
});
process.stdin.on('end', () => process.exit(0)).resume();
