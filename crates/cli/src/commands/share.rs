//! `dfs share`: makes links to files and folders, lists and ends them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use client::{PASSWORD_LEN_MAX, Password, ShareOptions};
use console::Term;
use proto::master::{Entry, PAGE_LEN_MAX, Share, ShareId};
use settings::Settings;

use crate::args::{NewShare, ShareAction};
use crate::context::Context;
use crate::exit::{Exit, Stop};
use crate::output::{Output, time};

pub(super) async fn run(
    mut context: Context,
    action: Option<&ShareAction>,
    new: Option<&NewShare>,
) -> anyhow::Result<()> {
    match (action, new) {
        (Some(ShareAction::List { json }), _) => list(&context, *json).await,
        (Some(ShareAction::Revoke { share }), _) => revoke(&context, ShareId(*share)).await,
        (None, Some(new)) => {
            // Only the link goes there, for scripts.
            context.narrator.keep_off_stdout();
            create(&context, new).await
        }
        (None, None) => {
            let message = "say what to share: dfs share NAME";
            Err(Stop::error(Exit::Usage, message))
        }
    }
}

async fn create(context: &Context, new: &NewShare) -> anyhow::Result<()> {
    let path = &new.path;
    let password = tokio::task::block_in_place(|| read_password(new))?;
    let expires = new.expires.map(|span| span.duration().as_millis());
    let expires = expires.map(|span| u64::try_from(span).unwrap_or(u64::MAX));
    let options = ShareOptions {
        expires_ms: expires.map(|span| now_ms().saturating_add(span)),
        password,
        downloads_max: new.limit,
        upload_only: new.upload_only,
    };
    let made = context.cluster.share(path, options).await;
    let made = made.with_context(|| format!("share {path}"))?;
    let mut output = Output::stdout();
    output.line(&format!(
        "{}/s/{}",
        base(&context.settings),
        made.token.as_str()
    ))?;
    output.flush()?;
    let number = made.share.0;
    let line =
        format!("shared {path}; `dfs share revoke {number}` ends it. The link is not shown again");
    context.narrator.done(&line)?;
    Ok(())
}

/// Where people reach the page.
fn base(settings: &Settings) -> String {
    match &settings.web.public_url {
        Some(url) => url.to_string(),
        None => format!("http://{}", settings.web.listen),
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Asked for, or out of a file: never as an argument, which everybody on the machine can see.
fn read_password(new: &NewShare) -> anyhow::Result<Option<Password>> {
    let text = match &new.password_file {
        Some(file) => first_line(file)
            .with_context(|| format!("read the password from {}", file.display()))?,
        None if new.password => ask_password()?,
        None => return Ok(None),
    };
    Ok(Some(Password::new(text)?))
}

/// The first line of a file, or of standard input for `-`.
fn first_line(file: &Path) -> anyhow::Result<String> {
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    let mut line = String::new();
    // One more than fits, and the end of the line, so that what is too long is seen to be.
    let reader = reader.take(PASSWORD_LEN_MAX as u64 + 3);
    BufReader::new(reader).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask_password() -> anyhow::Result<String> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        let message = "there is no terminal to ask for the password: use --password-file";
        return Err(Stop::error(Exit::Usage, message));
    }
    let ask = |question: &str| -> anyhow::Result<String> {
        terminal.write_str(question)?;
        Ok(terminal.read_secure_line()?)
    };
    let first = ask("Password of the link: ")?;
    if ask("Again: ")? != first {
        let message = "these were two passwords; nothing was shared";
        return Err(Stop::error(Exit::Usage, message));
    }
    Ok(first)
}

async fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    if json {
        let mut array = output.json_array();
        let mut before = None;
        while let Some(page) = next_page(context, &mut before).await? {
            for share in page {
                array.item(&share)?;
            }
        }
        array.end()?;
        return Ok(());
    }
    let mut before = None;
    while let Some(page) = next_page(context, &mut before).await? {
        for share in page {
            let line = row(context, &output, &share);
            output.line(&line)?;
        }
    }
    if before.is_none() && output.is_terminal() {
        output.line("nothing is shared")?;
    }
    output.flush()?;
    Ok(())
}

/// The rows after `before`, which moves on; nothing at the end.
async fn next_page(
    context: &Context,
    before: &mut Option<ShareId>,
) -> anyhow::Result<Option<Vec<Share>>> {
    let page = context.cluster.shares(*before, PAGE_LEN_MAX).await;
    let page = page.context("list the shares")?;
    let last = page.shares.last().map(|share| share.share);
    *before = last.or(*before);
    Ok(last.map(|_| page.shares))
}

fn row(context: &Context, output: &Output, share: &Share) -> String {
    let place = match &share.shared {
        Some(shared) => {
            let mark = match shared.entry {
                Entry::Folder { .. } => "/",
                Entry::File { .. } => "",
            };
            format!("{}{mark}", output.name(&shared.path.to_string()))
        }
        None => format!(
            "{} (in the trash, or deleted)",
            output.name(share.name.as_str())
        ),
    };
    let downloads = match share.downloads_max {
        _ if share.upload_only => "upload only".to_owned(),
        Some(max) => format!("{} of {max} downloads", share.downloads),
        None => format!("{} downloads", share.downloads),
    };
    let ends = match share.expires_ms {
        Some(ends) if share.is_expired(now_ms()) => format!("ended {}", time(ends, &context.zone)),
        Some(ends) => format!("until {}", time(ends, &context.zone)),
        None => "for ever".to_owned(),
    };
    let password = if share.has_password { ", password" } else { "" };
    format!(
        "{:>6}  {downloads:>16}  {ends}{password}  {place}",
        share.share.0
    )
}

async fn revoke(context: &Context, share: ShareId) -> anyhow::Result<()> {
    let revoked = context.cluster.revoke_share(share).await;
    revoked.with_context(|| format!("revoke the share {}", share.0))?;
    let line = format!("the link of share {} leads nowhere now", share.0);
    context.narrator.done(&line)?;
    Ok(())
}
