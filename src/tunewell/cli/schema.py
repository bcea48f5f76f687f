"""`tunewell schema`."""


def schema() -> None:
    """Print the JSON Schema of a recipe, for editors.

    Example: tunewell schema > recipe.schema.json
    """
    import json

    from tunewell.document import recipe_schema

    print(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
