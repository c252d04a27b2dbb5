import { auth0 } from './auth0.js'
import { cognito } from './cognito.js'
import { discord } from './discord.js'
import { entra } from './entra.js'
import { githubApp, githubOAuthApp } from './github.js'
import { gitlab } from './gitlab.js'
import { google } from './google.js'
import { keycloakDynamic, keycloakStatic } from './keycloak.js'
import { linkedin } from './linkedin.js'
import type { LoginServer } from './login-server.js'
import { oidcProviders } from './oidc-provider.js'
import { oktaCustom, oktaOrg } from './okta.js'
import { shaped } from './shape.js'

/** Every login server that the tests run; docs/compatibility.md is made from it. */
export const loginServers: readonly LoginServer[] = [
  ...[
    keycloakDynamic,
    keycloakStatic,
    entra,
    oktaCustom,
    oktaOrg,
    auth0,
    google,
    githubOAuthApp,
    githubApp,
    gitlab,
    discord,
    cognito,
    linkedin
  ].map(shaped),
  ...oidcProviders
]
