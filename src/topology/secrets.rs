//! Secrets: declared in the section `secrets`, or the salt of a rules file; chosen by mask steps and `state`.

use super::Mode;
use super::diagnostics::Severity;
use super::reader::{Fields, Reader, list, nearest};
use super::redact;
use super::substitute::{Fault, substitute};
use super::yaml::{Entry, Node, Span, Value};
use crate::operators::mask::{FieldRule, Rule, Transform};
use crate::record::{Key, Keyring, Secret};

impl Reader<'_> {
    /// An entry of the section `secrets`: a secret, or the keys that it is rotated through.
    pub fn keyring(&mut self, entry: &Entry) -> Option<Keyring> {
        let (name, at) = (&entry.key, entry.key_span);
        if !matches!(entry.value.value, Value::Map(_)) {
            return self.secret(name, &entry.value, at).map(|secret| Keyring::of(name, secret));
        }
        self.rings.insert(name.clone());
        let what = format!("secret `{name}`");
        let fields = self.fields(&entry.value, at, &what, super::language::KEYRING.names)?;
        let section = fields.require(self, "keys", "its keys by id: `keys: { k1: ${OLD}, k2: ${NEW} }`")?;
        let mut keys = Vec::new();
        for key in self.map(&section.value, section.key_span, "`keys`")? {
            if let Err(label) = super::names::plain(&key.key) {
                self.error("name", key.key_span, format!("`{}` cannot name a key", key.key), label);
            }
            let secret = self.secret(&format!("{name}.{}", key.key), &key.value, key.key_span);
            keys.push(secret.map(|secret| Key { id: key.key.clone(), secret }));
        }
        if keys.is_empty() {
            self.error("blank", section.key_span, "`keys` lists no key", "its keys by id: `keys: { k1: ${KEY} }`");
        }
        // One that is wrong has been reported.
        let keys: Vec<Key> = keys.into_iter().collect::<Option<_>>()?;
        let mut named = |field: &str| match fields.get(field) {
            Some(entry) => self.named_key(entry, &keys).map(Some),
            None => Some(None),
        };
        let (current, previous) = (named("current")?, named("previous")?);
        let current = match (current, &keys[..]) {
            (Some(current), _) => current,
            (None, [only]) => only.clone(),
            (None, _) => {
                let label = "`current: ID` says which one values go under from now on";
                self.error("missing-field", at, format!("secret `{name}` has several keys"), label);
                return None;
            }
        };
        let others: Vec<&Key> = keys.iter().filter(|key| key.id != current.id).collect();
        let previous = match (previous, &others[..]) {
            (Some(previous), _) if previous.id == current.id => {
                let at = fields.get("previous").map_or(at, |entry| entry.value.span);
                self.error("conflict", at, "`previous` is the current key", "name the one before it, or leave it out");
                return None;
            }
            (None, [only]) => Some((*only).clone()),
            (previous, _) => previous,
        };
        Some(Keyring { current, previous })
    }

    /// What is no key's id may be the secret itself: it is hidden.
    fn named_key(&mut self, entry: &Entry, keys: &[Key]) -> Option<Key> {
        let what = format!("`{}`", entry.key);
        let text = self.text(&entry.value, entry.key_span, &what)?;
        if let Some(key) = keys.iter().find(|key| key.id == text.text) {
            return Some(key.clone());
        }
        let ids = || keys.iter().map(|key| key.id.as_str());
        let label = match nearest(&text.text, ids()) {
            Some(id) => format!("did you mean `{id}`?"),
            None => format!("its keys: {}", list(ids())),
        };
        self.error("unknown-secret", text.span, format!("{what} must name one of the `keys`"), label);
        None
    }

    /// A secret's value. Known in `run`, or an error; else a stand-in where it is missing.
    pub fn secret(&mut self, name: &str, node: &Node, at: Span) -> Option<Secret> {
        // The name of a blank one may be the secret itself: `pii:value` is a name to YAML.
        let what = if node.is_blank() { "a secret".to_owned() } else { format!("secret `{name}`") };
        let raw = self.scalar(node, at, &what)?;
        if self.mode == Mode::Test {
            // Never one from outside, though it were there: what a test prints is for everyone to read.
            if let Some(given) = self.given.get(name) {
                return Some(given.clone());
            }
            if raw.contains("${") {
                return Some(Secret::new(format!("stand-in-for-{name}")));
            }
        }
        let outcome = substitute(raw, self.env, &self.dir);
        let (forms, missing): (Vec<_>, Vec<_>) =
            outcome.faults.into_iter().partition(|fault| matches!(fault, Fault::Form(_)));
        if let Some(Fault::Form(message)) = forms.into_iter().next() {
            self.error("substitution", node.span, message, "");
            return None;
        }
        if let Some(Fault::Missing(message)) = missing.into_iter().next() {
            if self.mode.stands_in() {
                self.unresolved.push(name.to_owned());
                return Some(Secret::new(&b"unresolved"[..]));
            }
            self.error("unset", node.span, message, format!("secret `{name}` needs it"));
            return None;
        }
        if outcome.bytes.is_empty() {
            self.error("blank", node.span, format!("secret `{name}` is empty"), "");
            return None;
        }
        self.judge_secret(name, &outcome.bytes, outcome.literal, node.span);
        Some(Secret::new(outcome.bytes))
    }

    /// The salt of a rules file, where it is used.
    pub fn judge_salt(&mut self, salt: &Secret, span: Span) {
        let help = "name a secret in the mask step and leave `salt` out";
        let (message, label) =
            ("the salt stands in the file itself", "whoever reads the file can undo hashes by trying");
        self.report(Severity::Warning, "literal-secret", span, message.into(), label.into(), &[help]);
        if salt.expose().len() < 16 {
            self.warn("short-secret", span, "the salt has fewer than 16 bytes", "short secrets can be guessed");
        }
    }

    /// Warns of secrets that are too short, or that stand in the file.
    fn judge_secret(&mut self, name: &str, bytes: &[u8], literal: bool, span: Span) {
        if literal {
            // Of a key `secret.key` it is the key that stands there.
            let field = name.rsplit('.').next().unwrap_or(name);
            let help =
                format!("take it from outside: `{field}: ${{NAME}}` or `{field}: ${{file:/run/secrets/{field}}}`");
            let message = format!("secret `{name}` stands in the file itself");
            let label = "whoever reads the file can undo hashes by trying".to_owned();
            self.report(Severity::Warning, "literal-secret", span, message, label, &[&help]);
        }
        if bytes.len() < 16 && (literal || !self.mode.stands_in()) {
            let message = format!("secret `{name}` has fewer than 16 bytes");
            self.warn(
                "short-secret",
                span,
                message,
                "short secrets can be guessed: `openssl rand -hex 32` makes a good one",
            );
        }
    }

    /// What a scenario may give: secrets by name, keys as `secret.key`.
    pub fn givable(&self) -> impl Iterator<Item = String> {
        self.secrets.iter().filter_map(|(name, ring)| Some((name, ring.as_ref()?))).flat_map(|(name, ring)| {
            let lists_keys = self.rings.contains(name);
            let keys = [Some(&ring.current), ring.previous.as_ref()].into_iter().flatten();
            keys.map(move |key| if lists_keys { format!("{name}.{}", key.id) } else { name.clone() })
        })
    }

    /// Those that are declared rightly: of a wrong one the name may be the secret itself.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().filter(|(_, secret)| secret.is_some()).map(|(name, _)| name.as_str())
    }

    /// A secret by its name. What is no name of a secret may be the secret itself: it is hidden.
    pub fn named_secret(&mut self, node: &Node, at: Span) -> Option<Keyring> {
        let text = match self.text(node, at, "`secret`") {
            Some(text) => text,
            None => {
                redact::hide_all(&mut self.out, node);
                return None;
            }
        };
        if let Some(secret) = self.secrets.get(&text.text) {
            return secret.clone();
        }
        let names = list(self.secret_names());
        let label = match nearest(&text.text, self.secret_names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None if names.is_empty() => "the topology declares none: `secrets: { pii: ${NAME} }`".to_owned(),
            None => format!("declared: {names}"),
        };
        if !label.starts_with("did") {
            redact::hide_all(&mut self.out, node);
        }
        self.error("unknown-secret", text.span, "`secret` must name an entry of the section `secrets`", label);
        None
    }

    /// The secret named by the step, else the salt of the rules file, else the only one declared. The outer `None` is an
    /// error that has been reported. `keyed` is the first rule that needs a secret, and where it stands.
    pub fn choose_secret(
        &mut self,
        named: Option<Option<Keyring>>,
        salt: Option<(Secret, Span)>,
        keyed: Option<(Rule, Span)>,
        at: Span,
    ) -> Option<Option<Keyring>> {
        if let Some(named) = named {
            return named.map(Some);
        }
        let Some((rule, keyed_at)) = keyed else { return Some(None) };
        if let Some((salt, salt_at)) = salt {
            self.judge_salt(&salt, salt_at);
            return Some(Some(Keyring::of("salt", salt)));
        }
        let mut declared = self.secrets.values();
        match (declared.next(), declared.next()) {
            (Some(only), None) => only.clone().map(Some),
            (None, _) => {
                let help = ["declare one: `secrets: { pii: ${ANONYMIZE_SALT} }`"];
                let message = format!("`{}` needs a secret", rule.as_str());
                self.explain("missing-secret", keyed_at, message, "", &help);
                None
            }
            (Some(_), Some(_)) => {
                let label = format!("say which: {}", list(self.secret_names()));
                self.error("missing-secret", at, "several secrets are declared and `mask` names none", label);
                None
            }
        }
    }

    /// Rules that the chosen keys cannot serve.
    pub fn check_keys(&mut self, keys: Option<&Keyring>, fields: &[(FieldRule, Span)]) {
        let rotates = keys.is_some_and(|keys| keys.previous.is_some());
        for (field, at) in fields {
            match &field.transform {
                Transform::Hash if rotates => {
                    let message = "`hash` does not say which key made it, and this secret has two";
                    self.error("key-rotation", *at, message, "`hmac` puts the key's id in front");
                }
                Transform::Hmac { previous: Some(_) } if keys.is_some() && !rotates => {
                    let label = "give the secret a second key, or take `previous` out when the rotation is over";
                    self.error("key-rotation", *at, "`previous` asks for a key that the secret does not have", label);
                }
                _ => {}
            }
        }
    }
}

/// Of another system's user: one that stands in the file is read, and warned of.
pub(super) fn read_password(reader: &mut Reader<'_>, fields: Fields<'_>) -> Option<Secret> {
    let entry = fields.get("password")?;
    let text = reader.text(&entry.value, entry.key_span, "`password`")?;
    if text.literal {
        let label = "take it from outside: `password: ${NAME}` or `password: ${file:/run/secrets/password}`";
        reader.warn("literal-secret", text.span, "a password stands in the file itself", label);
    }
    Some(Secret::new(text.text))
}
