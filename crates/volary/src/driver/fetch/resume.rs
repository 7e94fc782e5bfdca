//! Fetching one object whole, over as many connections as it takes.
//!
//! A broken connection is gone on from by asking for the rest of the very object that was begun, known by its strong entity tag or its
//! date. Where the server has another object by then, the fetch fails: what came is of no use. Where it cannot give a part, or nothing
//! tells objects apart, all of it is fetched anew, a few times.

use super::answer::{Object, Part, is_passing, require_no_page, unfit};
use super::location::Location;
use super::request::{Answer, Client, Rest};
use super::spooling::Spooling;
use super::{Trouble, UrlSource, refused};
use crate::driver::patience::Patience;
use crate::{Ctl, Error, ErrorKind, Phase, Result};
use hyper::StatusCode;
use std::time::Duration;
use volary_image::FileSource;

/// How often a connection may break in a row without a byte more than ever before.
const MOST_WITHOUT_PROGRESS: u32 = 10;
/// How often everything is fetched anew.
const MOST_ANEW: u32 = 3;
/// Longer than all pauses between attempts together.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Fetches it into a spool.
pub(super) async fn fetch(source: &UrlSource, refuse_pages: bool, ctl: &Ctl) -> Result<FileSource> {
    let mut fetch = Fetch {
        source,
        refuse_pages,
        client: Client::new(source, ctl),
        spool: Spooling::begin(source.spool_dir.clone())
            .await
            .map_err(|error| error.context("directory", source.spool_dir.display()))?,
        location: source.location.clone(),
        object: None,
        attempts: Attempts::new(),
        ctl,
    };
    loop {
        match fetch.part().await {
            Ok(()) => return fetch.spool.finish().await,
            Err(Trouble::Final(error)) => return Err(error),
            // Before anything came it is the URL or the server that is wrong, more likely than the way there.
            Err(Trouble::Broken(error)) if fetch.object.is_none() => return Err(error),
            Err(Trouble::Broken(error)) => fetch.attempts.again(error, fetch.spool.len(), ctl).await?,
        }
    }
}

struct Fetch<'a> {
    source: &'a UrlSource,
    refuse_pages: bool,
    client: Client<'a>,
    spool: Spooling,
    /// Where the last part came from: of several mirrors another one may have another object.
    location: Location,
    object: Option<Object>,
    attempts: Attempts,
    ctl: &'a Ctl,
}

impl Fetch<'_> {
    /// Asks for what has not come, and takes what comes.
    async fn part(&mut self) -> Result<(), Trouble> {
        let from = self.spool.len();
        let validator =
            self.object.as_ref().and_then(|object| object.validator.as_ref()).filter(|_| from > 0);
        let rest = validator.map(|of| Rest { from, of });
        let asked_for_rest = rest.is_some();
        let answer = self.client.get(&self.location, rest).await?;
        let status = answer.head.status;
        let expected = match status {
            StatusCode::OK => true,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => asked_for_rest,
            _ => false,
        };
        if !expected {
            return Err(self.unexpected(&answer));
        }
        let end = match &mut self.object {
            None => {
                if self.refuse_pages {
                    require_no_page(&answer.head.headers)?;
                }
                let object = Object::of(&answer.head.headers)?;
                let total = object.total;
                self.object = Some(object);
                self.begin(total)?;
                total
            }
            Some(object) if asked_for_rest => match object.part(&answer, from)? {
                Part::Rest(last) => Some(last + 1),
                Part::Whole => self.anew().await?,
                Part::Unproven => {
                    // Nothing ties a part to what came before, now or later.
                    object.validator = None;
                    let what = "the server sends a part without saying of what";
                    return Err(Trouble::Broken(Error::new(ErrorKind::Unreachable, what)));
                }
            },
            Some(object) => {
                object.require_same(&Object::of(&answer.head.headers)?)?;
                self.anew().await?
            }
        };
        self.location = answer.location.clone();
        self.take(answer, end).await
    }

    /// What to do about an answer that is no part of the file.
    fn unexpected(&mut self, answer: &Answer) -> Trouble {
        let status = answer.head.status;
        if self.object.is_none() {
            return Trouble::Final(unfit(answer));
        }
        // Where a redirect led to may have been for some minutes only: the way begins anew then.
        if answer.location != self.source.location && status.is_client_error() {
            self.location = self.source.location.clone();
            return Trouble::Broken(unfit(answer));
        }
        if is_passing(status) { Trouble::Broken(unfit(answer)) } else { Trouble::Final(unfit(answer)) }
    }

    fn begin(&self, total: Option<u64>) -> Result<()> {
        if let Some(total) = total.filter(|total| *total > self.source.max_bytes) {
            return Err(self.too_large().context("bytes", total));
        }
        self.ctl.phase(Phase::Spool, total);
        Ok(())
    }

    async fn anew(&mut self) -> Result<Option<u64>> {
        if self.spool.len() > 0 {
            self.attempts.anew()?;
            self.spool.restart().await?;
        }
        let total = self.object.as_ref().and_then(|object| object.total);
        self.begin(total)?;
        Ok(total)
    }

    fn too_large(&self) -> Error {
        refused("limit", "the file is larger than may be fetched")
            .context("most_bytes", self.source.max_bytes)
            .hint("allow more with --max-download if that is meant")
    }

    /// Takes the body of an answer, which reaches up to `end` of the object when that is known.
    async fn take(&mut self, mut answer: Answer, end: Option<u64>) -> Result<(), Trouble> {
        let most = end.unwrap_or(u64::MAX).min(self.source.max_bytes);
        while let Some(data) = answer.data().await? {
            if data.len() as u64 > most - self.spool.len().min(most) {
                return Err(if most == self.source.max_bytes { self.too_large() } else { longer() }.into());
            }
            self.spool.add(&data).await?;
            self.ctl.advance(data.len() as u64);
        }
        answer.ends_here().await?;
        let total = self.object.as_ref().and_then(|object| object.total);
        if total.is_some_and(|total| self.spool.len() != total) {
            return Err(Trouble::Broken(Error::new(ErrorKind::Unreachable, "the server sent only a part")));
        }
        Ok(())
    }
}

fn longer() -> Error {
    refused("length", "the server sends more than it said")
}

/// Counts what did not work, and pauses before the next attempt.
struct Attempts {
    reached: u64,
    without_progress: u32,
    anew: u32,
    patience: Patience,
}

impl Attempts {
    fn new() -> Self {
        Attempts { reached: 0, without_progress: 0, anew: 0, patience: Patience::new(PATIENCE) }
    }

    /// Pauses, unless it has been in vain too often.
    async fn again(&mut self, error: Error, reached: u64, ctl: &Ctl) -> Result<()> {
        if reached > self.reached {
            *self = Attempts { reached, anew: self.anew, ..Attempts::new() };
        }
        self.without_progress += 1;
        if self.without_progress > MOST_WITHOUT_PROGRESS || !self.patience.pause(error.report(), ctl).await? {
            return Err(error
                .context("came_bytes", reached)
                .context("attempts", self.without_progress)
                .hint("see whether the server is well, and import it again"));
        }
        Ok(())
    }

    fn anew(&mut self) -> Result<()> {
        self.anew += 1;
        if self.anew > MOST_ANEW {
            return Err(Error::new(
                ErrorKind::Unreachable,
                "the connection broke too often, and the server gives no parts",
            )
            .context("attempts", self.anew)
            .hint("fetch it with another program, and import the file"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn broken() -> Error {
        Error::new(ErrorKind::Unreachable, "broken")
    }

    #[tokio::test(start_paused = true)]
    async fn s05_attempts_end_when_nothing_comes_of_them() {
        let (mut attempts, ctl, begun) = (Attempts::new(), Ctl::new(), Instant::now());
        for reached in 1..100 {
            attempts.again(broken(), reached, &ctl).await.unwrap();
        }
        assert!(begun.elapsed() <= Duration::from_secs(10), "with progress pauses stay short");
        let begun = Instant::now();
        for _ in 1..MOST_WITHOUT_PROGRESS {
            attempts.again(broken(), 50, &ctl).await.unwrap();
        }
        let error = attempts.again(broken(), 99, &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(begun.elapsed() > Duration::from_secs(5) && begun.elapsed() < Duration::from_secs(20));
        for _ in 0..MOST_ANEW {
            attempts.anew().unwrap();
        }
        assert_eq!(attempts.anew().unwrap_err().kind(), ErrorKind::Unreachable);
    }

    #[tokio::test(start_paused = true)]
    async fn s05_a_pause_ends_when_the_operation_is_cancelled() {
        let (mut attempts, ctl) = (Attempts::new(), Ctl::new());
        ctl.cancel_token().cancel();
        assert_eq!(attempts.again(broken(), 0, &ctl).await.unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
