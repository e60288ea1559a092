//! The local store of images.
//!
//! Source: Docker Engine API 1.41, "Tag an image", "Remove an image".

use super::inspect::Kind;
use super::{Docker, failed};
use crate::error::{Code, Result};
use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};

impl Docker {
    /// Whether an image of this id or name is in the local store.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn has_image(&self, image: &str) -> Result<bool> {
        match self.inspect(Kind::Image, image).await {
            Ok(_) => Ok(true),
            Err(e) if e.code() == Code::ContainerNotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Gives an image one more name, so that no `docker image prune` takes it.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] where it is not there; [`Code::DockerFailed`],
    /// [`Code::DockerUnreachable`].
    pub async fn tag_image(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.client.tag_image(image, Some(options)).await.map_err(|e| failed("tag image", image, e))
    }

    /// Gives an image the name back by which containers were made of it, where that is another
    /// image's by now. Returns whether it was.
    ///
    /// # Errors
    /// As [`tag_image`](Self::tag_image).
    pub async fn give_name_back(&self, image: &str, name: &str) -> Result<bool> {
        match self.inspect(Kind::Image, name).await {
            Ok(now) if now["Id"] == image => return Ok(false),
            Err(e) if e.code() != Code::ContainerNotFound => return Err(e),
            _ => {}
        }
        let (repository, tag) = repository_and_tag(name);
        self.tag_image(image, repository, tag).await.map(|()| true)
    }

    /// Takes a name of an image away again; well where it is gone. An image that has no other name
    /// and no container stays.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn untag_image(&self, name: &str) -> Result<()> {
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        match self.client.remove_image(name, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(e) => match failed("take the tag off image", name, e) {
                e if e.code() == Code::ContainerNotFound => Ok(()),
                e => Err(e),
            },
        }
    }
}

/// The parts of `registry:5000/shop/app:2.0`; the tag is `latest` where none is written.
fn repository_and_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_registry_is_no_tag() {
        assert_eq!(repository_and_tag("shop"), ("shop", "latest"));
        assert_eq!(repository_and_tag("shop:2.0"), ("shop", "2.0"));
        assert_eq!(repository_and_tag("host:5000/shop"), ("host:5000/shop", "latest"));
        assert_eq!(repository_and_tag("host:5000/shop:2"), ("host:5000/shop", "2"));
    }
}
